//! Every key, without a prelude, among types that have the names generated code uses.

#![no_implicit_prelude]
#![allow(dead_code, non_camel_case_types, reason = "the names are there to be in the way")]

use ::metapaas_core::{FieldEnum, FieldProblem, FieldType, Json, Map, PaasType, Ref, Secret, paas_type};

struct String;
struct Option;
struct Result;
struct Vec;
struct Some;
struct Ok;
struct Box;
struct Value;
struct Spec;
struct str;
struct bool;
mod core {}
mod std {}
mod metapaas_core {}
trait Default {}
trait ToString {}

type Text = ::std::string::String;

/// With every key of an instance.
#[paas_type(
    slug = "hygiene",
    element = "hygiene-aas",
    scope = "platform",
    iam(list = "viewer", read = "viewer", create = "operator", update = "operator", delete = "owner", watch = "viewer"),
    retention = "90d",
    check = new,
    crate = ::metapaas_core
)]
pub(crate) struct Everything {
    #[field(mutable, iam = "owner", default = Text::new(), len = ..=80, pattern = "^[a-z]*$", renamed_from = "was")]
    spec: Text,
    #[field(unique, range = 1..=5, check = old)]
    old: u8,
    #[field(unique = "everywhere")]
    new: ::std::option::Option<Theme>,
    #[field(output)]
    value: ::std::option::Option<::std::vec::Vec<Text>>,
    secret: Secret<Text>,
    reference: ::std::option::Option<Ref<Everything>>,
    map: Map<u32>,
    json: Json<u8>,
}

/// With every key of a child.
#[paas_type(parent = Everything, plural = "children", key = "name", iam(read = "owner"), retention = "1w", check = new)]
pub(crate) struct Child {
    name: Text,
}

#[derive(Clone, Copy, FieldEnum)]
#[field_enum(crate = ::metapaas_core)]
pub(crate) enum Theme {
    #[field_enum(name = "some")]
    Some,
    None,
    Ok,
    Err,
}

fn new<T>(_: &T, _: ::std::option::Option<&T>) -> ::std::vec::Vec<FieldProblem> {
    ::std::vec::Vec::new()
}

fn old(
    new: &u8,
    old: ::std::option::Option<&u8>,
) -> ::std::result::Result<(), &'static ::core::primitive::str> {
    match old {
        ::std::option::Option::Some(old) if new < old => ::std::result::Result::Err("it may only grow"),
        _ => ::std::result::Result::Ok(()),
    }
}

#[test]
fn names_of_the_author_do_not_meet_generated_ones() {
    let descriptor = Everything::DESCRIPTOR;
    ::std::assert_eq!(descriptor.fields.len(), 8);
    ::std::assert!(descriptor.field("value").is_some_and(|field| field.output));
    ::std::assert_eq!(Child::DESCRIPTOR.slug, "hygiene");
    ::std::assert!(Theme::Some.to_json() == "some" && Theme::None.to_json() == "none");
    let _ = <Everything as PaasType>::from_spec;
}
