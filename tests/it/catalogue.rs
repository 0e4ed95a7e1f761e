//! The built-in catalogue fits the adapters that the data plane has.

use switchyard_control_plane::catalogue;
use switchyard_data_plane::adapters::{self, Quirks};
use switchyard_data_plane::model::parameter::Parameter;

#[test]
fn providers_have_quirks_that_their_adapters_know() {
    for provider in catalogue::providers() {
        if adapters::by_name(&provider.adapter).is_none() {
            continue;
        }
        let mut quirks = Quirks::default();
        for (name, value) in &provider.quirks {
            quirks.set(name, value).unwrap_or_else(|error| panic!("{}: {error}", provider.id));
        }
    }
}

#[test]
fn endpoints_name_parameters_that_routing_knows() {
    for endpoint in catalogue::models().iter().flat_map(|model| &model.endpoints) {
        for name in &endpoint.supported_parameters {
            assert!(Parameter::from_name(name).is_some(), "{}: {name}", endpoint.upstream_id);
        }
    }
}
