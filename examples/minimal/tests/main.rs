//! What the book says of this example is so.

const EXAMPLE: &str = include_str!("../src/main.rs");
const TESTS: &str = include_str!("../src/tests.rs");
const GUIDE: &str = include_str!("../../../book/src/plugin-guide.md");

#[test]
fn the_guide_shows_the_example_as_it_is() {
    for source in [EXAMPLE, TESTS] {
        assert!(GUIDE.contains(source), "book/src/plugin-guide.md differs from\n{source}");
    }
}

#[test]
fn the_example_has_at_most_sixty_lines() {
    assert!(EXAMPLE.lines().count() <= 60);
}
