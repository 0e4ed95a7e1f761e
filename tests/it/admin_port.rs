//! What the admin port tells without a token: that it is well, and which services it has.

use switchyard_tests::admin::AdminPort;
use tonic::Code;

use crate::admin_access::{FLEET_PORT, OPERATIONS};

#[tokio::test]
async fn health_and_reflection_need_no_token_and_tell_of_this_port_only() {
    let port = AdminPort::start().await.unwrap();
    let health = async |service: &str| {
        // `service: …`.
        let mut request = vec![0x0a, u8::try_from(service.len()).unwrap()];
        request.extend_from_slice(service.as_bytes());
        port.first_of_stream("grpc.health.v1.Health/Watch", request).await
    };
    for service in ["", "switchyard.v1.KeyService"] {
        // `status: SERVING`.
        assert_eq!(health(service).await.unwrap(), [0x08, 1], "{service}");
    }
    assert_eq!(health("switchyard.v1.LeaseService").await.unwrap_err().code(), Code::NotFound);
    for version in ["v1", "v1alpha"] {
        let rpc = format!("grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        // `list_services: ""`.
        let answer = port.first_of_stream(&rpc, vec![0x3a, 0]).await.unwrap();
        let names = String::from_utf8_lossy(&answer);
        for operation in OPERATIONS {
            let service = operation.rpc.split('/').next().unwrap();
            assert!(names.contains(&format!("switchyard.v1.{service}")), "{service}");
        }
        assert!(FLEET_PORT.iter().all(|service| !names.contains(&format!("v1.{service}"))));
    }
}
