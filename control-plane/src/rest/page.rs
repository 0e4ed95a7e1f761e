//! The front page of the admin port: where the API is documented and how the command line reaches it.

use axum::response::Html;

const FRONT: &str = r#"<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Switchyard control plane</title></head>
<body>
<h1>Switchyard control plane</h1>
<p>This port speaks gRPC (with reflection and health) and the same API as JSON under <code>/admin/v1</code>.</p>
<ul>
<li>API description: <a href="/admin/openapi.json">/admin/openapi.json</a></li>
<li>Command line: <code>SWITCHYARD_ADMIN_ADDR</code> and <code>SWITCHYARD_ADMIN_TOKEN</code>, then
<code>switchyard tenant list</code>, <code>switchyard apply -f FILE</code>, <code>switchyard --help</code></li>
</ul>
</body>
</html>
"#;

/// `GET /`.
pub(super) async fn front() -> Html<&'static str> {
    Html(FRONT)
}
