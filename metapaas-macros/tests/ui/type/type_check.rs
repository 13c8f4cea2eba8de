use metapaas_core::paas_type;

#[paas_type(slug = "demo", check = check)]
pub struct Demo {
    greeting: String,
}

fn check(_new: &Demo) -> Vec<metapaas_core::FieldProblem> {
    Vec::new()
}

fn main() {}
