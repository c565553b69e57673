//! The description of the public listener as OpenAPI 3.1 (<https://spec.openapis.org/oas/v3.1.1.html>), made from the handlers'
//! own attributes and from the types that they answer with. A test writes it to docs/openapi.json, which [`super::docs`] serves.

use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::{OpenApi, Ref, RefOr, Schema};
use utoipa::{Modify, OpenApi as _};

use super::public::{derived, draws, ids, members, numbers, set, status, stream};
use crate::server::format::{BytesJsonText, JsonAlone, JsonLines, JsonText, JsonTextBytes};
use crate::server::problem::{Members, Problem};

/// The description, made from the code.
pub fn document() -> OpenApi {
    Description::openapi()
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "random-generator",
        description = "Random numbers over HTTP, from a set of members that also draw together on a schedule. Each parameter \
            may be given once, and one that a path doesn't have is an error; errors are problem details (RFC 9457). A format \
            is chosen by the header Accept, or by the parameter format."
    ),
    tags(
        (name = "numbers", description = "Random numbers, each journalled and given out once"),
        (name = "ids", description = "Unique ids, with the member's ordinal in them"),
        (name = "draws", description = "The chain of draws (docs/protocol.md)"),
        (name = "members", description = "The set, as this member sees it"),
        (name = "status", description = "This member's state"),
    ),
    paths(
        numbers::root::random,
        numbers::integers::integers,
        numbers::decimals::decimals,
        numbers::gaussians::gaussians,
        numbers::bytes::bytes,
        numbers::strings::strings,
        numbers::uuids::uuids,
        numbers::shuffle::shuffle,
        numbers::sequence::sequence,
        ids::ids,
        draws::list,
        draws::latest,
        stream::stream,
        draws::one,
        derived::integers,
        members::peers,
        members::leader,
        set::set,
        status::live,
        status::ready,
        status::version,
    ),
    components(
        schemas(BytesJsonText, JsonAlone, JsonLines, JsonText, JsonTextBytes, numbers::strings::Alphabet, numbers::uuids::UuidVersion, Members),
        responses(Problem)
    ),
    modifiers(&Everywhere),
)]
struct Description;

/// What holds for all paths: the problems that any request may meet, and HEAD beside GET.
struct Everywhere;

/// Paths that read no query, and so refuse none: probes may add parameters of their own.
const LENIENT: [&str; 3] = ["/livez", "/readyz", "/version"];

impl Modify for Everywhere {
    fn modify(&self, description: &mut OpenApi) {
        for (path, item) in &mut description.paths.paths {
            let Some(get) = &mut item.get else { continue };
            let mut problems = vec!["414", "500", "503"];
            if !LENIENT.contains(&path.as_str()) {
                problems.extend(["400", "406"]);
            }
            for status in problems {
                let problem = RefOr::Ref(Ref::from_response_name("Problem"));
                get.responses.responses.entry(status.to_owned()).or_insert(problem);
            }
            get.parameters.iter_mut().flatten().for_each(default);
            item.head = Some(head(get));
        }
        description.info.version = env!("CARGO_PKG_VERSION").to_owned();
    }
}

/// A handler's attribute can't give a parameter a default, only an extension: it becomes one here.
fn default(parameter: &mut RefOr<Parameter>) {
    let RefOr::T(parameter) = parameter else { return };
    let Some(mut extensions) = parameter.extensions.take() else {
        return;
    };
    let value = extensions.remove("x-default");
    if let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema {
        schema.default = value;
    }
    parameter.extensions = (!extensions.is_empty()).then_some(extensions);
}

/// HEAD as GET, without what would be given.
fn head(get: &Operation) -> Operation {
    let mut head = get.clone();
    head.operation_id = head.operation_id.map(|id| format!("{id}_head"));
    head.summary = Some("The headers of GET; gives out nothing".to_owned());
    head.description = None;
    for response in head.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.content.clear();
        }
    }
    head
}
