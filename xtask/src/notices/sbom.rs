//! A list of what is in the program for other programs to read: a software bill of materials in
//! CycloneDX 1.6's JSON (ECMA-424).

use serde_json::{Value, json};

use super::graph::{Crate, Graph};

/// The bill of materials of the program. It has no time and no random number, so the same sources give
/// the same bytes.
pub(super) fn cyclonedx(graph: &Graph) -> Value {
    let (programs, libraries): (Vec<&Crate>, Vec<&Crate>) =
        graph.crates.iter().partition(|one| one.name == "tandem");
    let dependencies: Vec<Value> = graph
        .crates
        .iter()
        .map(|one| {
            let uses: Vec<String> = one
                .uses
                .iter()
                .map(|index| package_url(&graph.crates[*index]))
                .collect();
            json!({ "ref": package_url(one), "dependsOn": uses })
        })
        .collect();

    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": programs.first().map(|program| component(program, "application")) },
        "components": libraries.iter().map(|one| component(one, "library")).collect::<Vec<_>>(),
        "dependencies": dependencies,
    })
}

fn component(one: &Crate, kind: &str) -> Value {
    let url = package_url(one);
    let mut component = json!({
        "type": kind,
        "name": one.name,
        "version": one.version,
        "bom-ref": url,
    });

    // Our own crates are in no registry.
    if !one.is_ours {
        component["purl"] = json!(url);
    }
    if let Some(license) = &one.license {
        component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
    }
    if let Some(checksum) = &one.checksum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if let Some(repository) = &one.repository {
        component["externalReferences"] = json!([{ "type": "vcs", "url": repository }]);
    }
    component
}

/// The crate's package URL (ECMA-427).
fn package_url(one: &Crate) -> String {
    format!("pkg:cargo/{}@{}", one.name, one.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notices::graph::tests::example;

    #[test]
    fn each_linked_crate_is_a_component_with_its_license_and_what_it_uses() {
        let bill = cyclonedx(&example());
        assert_eq!(bill["metadata"]["component"]["name"], "tandem");
        let components = bill["components"].as_array().expect("a list");
        assert_eq!(
            components.len(),
            2,
            "the program is not one of its own parts"
        );
        let linked = &components[1];
        assert_eq!(linked["purl"], "pkg:cargo/linked@1.0.0");
        assert_eq!(linked["licenses"][0]["expression"], "MIT");
        assert_eq!(linked["hashes"][0]["content"], "abc");

        let references: Vec<&Value> = bill["dependencies"]
            .as_array()
            .expect("a list")
            .iter()
            .flat_map(|one| one["dependsOn"].as_array().expect("a list"))
            .collect();
        let known = |reference: &&Value| components.iter().any(|one| one["bom-ref"] == **reference);
        assert_eq!(references.len(), 2, "two of them use another");
        assert!(references.iter().all(known), "references name components");
    }
}
