//! What the machine itself may sign with: Google's defaults, Amazon's roles, Entra's identities.

use super::*;

#[tokio::test]
async fn application_default_credentials_are_found_where_googles_tools_look() {
    let fake = Fake::start(async |number, seen: Seen| {
        let is_right = seen.headers.get("metadata-flavor").is_some_and(|flavour| flavour == "Google")
            || seen.body.contains("refresh_token");
        if is_right { token(number + 1, json!(3600)) } else { answer(403, "") }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let user = json!({"type": "authorized_user", "client_id": "c", "client_secret": "s&s", "refresh_token": "r",
        "token_uri": format!("{}/user", fake.url()), "quota_project_id": "bill-me"});
    let file = folder.path().join("application_default_credentials.json");
    std::fs::write(&file, user.to_string()).unwrap();
    let gcloud = folder.path().join(".config/gcloud");
    std::fs::create_dir_all(&gcloud).unwrap();
    std::fs::copy(&file, gcloud.join("application_default_credentials.json")).unwrap();
    let (file, folder) = (file.to_str().unwrap(), folder.path().to_str().unwrap());
    let metadata = fake.addr.to_string();
    let provider = compiled(row("google-oauth", "adc"));
    for (environment, line, project) in [
        (vec![("GOOGLE_APPLICATION_CREDENTIALS", file), ("HOME", "/nowhere")], "POST /user", Some("bill-me")),
        (vec![("CLOUDSDK_CONFIG", folder)], "POST /user", Some("bill-me")),
        (vec![("HOME", folder), ("GCE_METADATA_HOST", &metadata)], "POST /user", Some("bill-me")),
        (
            vec![("HOME", "/nowhere"), ("GCE_METADATA_HOST", &metadata)],
            "GET /computeMetadata/v1/instance/service-accounts/default/token",
            None,
        ),
    ] {
        let headers = headers(&signer(&environment), &provider).await.unwrap();
        assert!(headers["authorization"].to_str().unwrap().starts_with("Bearer t-"));
        assert_eq!(headers.get("x-goog-user-project").map(|value| value.to_str().unwrap()), project);
        assert_eq!(fake.lines().last().unwrap(), line, "{environment:?}");
    }
    assert!(fake.seen()[0].body.contains("client_secret=s%26s&refresh_token=r"));
    let missing = signer(&[("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")]);
    let error = headers(&missing, &provider).await.unwrap_err();
    assert_eq!(error.message, "`/nowhere/key.json` is not there");
}

fn aws_role(id: &str, minutes: i64) -> String {
    let end = clock::now() + chrono::TimeDelta::minutes(minutes);
    json!({"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": id, "SecretAccessKey": "s", "Token": "session",
        "Expiration": end.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)})
    .to_string()
}

fn aws_row(secret: &str) -> Arc<Provider> {
    compiled(ProviderConfig { region: "eu-west-1".into(), ..row("sigv4", secret) })
}

fn key_id(headers: &HeaderMap) -> String {
    let authorization = headers["authorization"].to_str().unwrap();
    let (_, rest) = authorization.split_once("Credential=").unwrap();
    rest.split('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn amazons_keys_are_the_rows_or_the_machines() {
    let fake = Fake::start(async |_, seen: Seen| {
        let has = |name: &str, value: &str| seen.headers.get(name).is_some_and(|found| found == value);
        match seen.line.as_str() {
            "GET /ecs" if has("authorization", "from-env") || has("authorization", "from-file") => {
                answer(200, aws_role("ECS", 60))
            }
            "PUT /latest/api/token" if has("x-aws-ec2-metadata-token-ttl-seconds", "21600") => {
                answer(200, "imds-session")
            }
            "GET /latest/meta-data/iam/security-credentials/"
                if has("x-aws-ec2-metadata-token", "imds-session") =>
            {
                answer(200, "the-role\n")
            }
            "GET /latest/meta-data/iam/security-credentials/the-role"
                if has("x-aws-ec2-metadata-token", "imds-session") =>
            {
                answer(200, aws_role("IMDS", 60))
            }
            _ => answer(404, ""),
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let shared = path("credentials", "[work]\naws_access_key_id=FILE\naws_secret_access_key=s\n");
    let ticket = path("ticket", "from-file\n");
    let (ecs, imds) = (format!("{}/ecs", fake.url()), fake.url());
    let own = [("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_SESSION_TOKEN", "x")];
    let machine = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.as_str());
    for (secret, environment, id, has_session) in [
        ("ROW:s", vec![], "ROW", false),
        ("ROW:s:t", own.to_vec(), "ROW", true),
        ("ambient", own.to_vec(), "ENV", true),
        (
            "ambient",
            vec![("AWS_SHARED_CREDENTIALS_FILE", shared.as_str()), ("AWS_PROFILE", "work"), machine],
            "FILE",
            false,
        ),
        (
            "ambient",
            vec![
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", ecs.as_str()),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "from-env"),
            ],
            "ECS",
            true,
        ),
        (
            "ambient",
            vec![
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", ecs.as_str()),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", ticket.as_str()),
            ],
            "ECS",
            true,
        ),
        ("ambient", vec![machine], "IMDS", true),
    ] {
        let signer = signer(&environment);
        let first = headers(&signer, &aws_row(secret)).await.unwrap();
        assert_eq!(key_id(&first), id, "{environment:?}");
        assert_eq!(first.contains_key("x-amz-security-token"), has_session, "{environment:?}");
        let asked = fake.seen().len();
        headers(&signer, &aws_row(secret)).await.unwrap();
        assert_eq!(fake.seen().len(), asked, "{environment:?}: keys are kept");
    }
}

#[tokio::test]
async fn a_machine_without_good_keys_says_what_is_wrong() {
    let fake = Fake::start(async |_, seen: Seen| match seen.line.as_str() {
        "GET /expired" => answer(200, aws_role("OLD", -1)),
        "GET /failed" => answer(200, r#"{"Code":"Failed","Message":"canary"}"#),
        "GET /broken" => answer(200, "canary"),
        "PUT /latest/api/token" => answer(200, "session"),
        _ => answer(404, "canary"),
    })
    .await;
    let container =
        |path: &str| vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}{path}", fake.url()))];
    for (environment, message) in [
        (container("/expired"), "the machine's role has credentials that have expired"),
        (container("/failed"), "the machine's role has no credentials"),
        (
            container("/broken"),
            "the container's credentials service sent something else than what was asked for",
        ),
        (container("/none"), "the container's credentials service answered 404"),
        (
            vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/".to_owned())],
            "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor a host's own address",
        ),
        (
            vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake.url())],
            "the instance's metadata service answered 404",
        ),
        (
            vec![("AWS_EC2_METADATA_DISABLED", "true".to_owned())],
            "this machine has no AWS credentials, and its metadata service is off",
        ),
    ] {
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let error = headers(&signer(&environment), &aws_row("ambient")).await.unwrap_err();
        assert_eq!(error, SignError::auth(message));
    }
    let nowhere = compiled(row("sigv4", "ROW:s"));
    let error = headers(&signer(&[]), &nowhere).await.unwrap_err();
    assert_eq!(error.message, "neither the provider's region nor its host names an AWS region");
}

#[tokio::test]
async fn entra_gives_tokens_to_applications_and_machines() {
    let fake = Fake::start(async |number, _| token(number + 1, json!("86399"))).await;
    let url = fake.url();
    let application =
        json!({"tenant_id": "t-1", "client_id": "c", "client_secret": "s", "authority": url}).to_string();
    let endpoint = format!("{url}/identity?x=1");
    for (secret, environment, line) in [
        (application.as_str(), vec![], "POST /t-1/oauth2/v2.0/token"),
        (
            "ambient",
            vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", url.as_str()), ("AZURE_CLIENT_ID", "mine")],
            "GET /metadata/identity/oauth2/token?api-version=2018-02-01&\
             resource=https%3A%2F%2Fcognitiveservices.azure.com%2F&client_id=mine",
        ),
        (
            "ambient",
            vec![("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", "ticket")],
            "GET /identity?x=1&api-version=2019-08-01&resource=https%3A%2F%2Fcognitiveservices.azure.com%2F",
        ),
    ] {
        let provider = compiled(row("entra", secret));
        let headers = headers(&signer(&environment), &provider).await.unwrap();
        assert!(headers["authorization"].to_str().unwrap().starts_with("Bearer t-"));
        assert_eq!(fake.lines().last().unwrap(), line);
    }
    let seen = fake.seen();
    assert_eq!(
        seen[0].body,
        "grant_type=client_credentials&client_id=c&client_secret=s&\
         scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"
    );
    assert_eq!(seen[1].headers["metadata"], "true");
    assert_eq!(seen[2].headers["x-identity-header"], "ticket");
}
