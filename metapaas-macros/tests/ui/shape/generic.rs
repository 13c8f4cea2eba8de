use metapaas_core::paas_type;

#[paas_type(slug = "a")]
pub struct A<T> {
    value: T,
}

#[paas_type(slug = "b")]
pub struct B<'a> {
    value: &'a str,
}

fn main() {}
// 2 errors
