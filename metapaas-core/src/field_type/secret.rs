//! `Secret<T>`, sealed at rest and never shown, and `Ref<T>`, the id of a row of another type.

use std::fmt;
use std::marker::PhantomData;

use serde_json::Value;
use uuid::Uuid;

use super::{FieldError, FieldType};
use crate::descriptor::FieldKind;
use crate::paas_type::PaasType;

/// A value that is sealed at rest, left out of every answer, event and log.
///
/// With `#[field(default = Secret::generate())]` a create request without it gets a random one, and the create
/// answer shows it once. When it is dropped, what it holds is overwritten in memory (see [`FieldType::wipe`]).
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: FieldType>(T);

impl<T: FieldType> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.wipe();
    }
}

impl<T: FieldType> Secret<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Do not log it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl Secret<String> {
    /// 32 random letters and digits (190 bits) from the operating system.
    pub fn generate() -> Self {
        Self(crate::secret::random_text(32))
    }
}

impl<T: FieldType> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<T: FieldType> FieldType for Secret<T> {
    const KIND: FieldKind = FieldKind::Secret(&T::KIND);

    fn to_json(&self) -> Value {
        self.0.to_json()
    }

    fn from_json(value: &Value) -> Result<Self, FieldError> {
        T::from_json(value).map(Self)
    }
}

/// The id of a row of type `T`; the database holds it to exist.
pub struct Ref<T> {
    /// The row's id.
    pub id: Uuid,
    target: PhantomData<fn() -> T>,
}

impl<T> Ref<T> {
    /// Refers to the row `id`.
    pub const fn new(id: Uuid) -> Self {
        Self { id, target: PhantomData }
    }
}

impl<T> Clone for Ref<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ref<T> {}

impl<T> PartialEq for Ref<T> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<T> Eq for Ref<T> {}

impl<T> fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ref({})", self.id)
    }
}

impl<T: PaasType> FieldType for Ref<T> {
    const KIND: FieldKind = FieldKind::Ref(|| T::DESCRIPTOR);

    fn to_json(&self) -> Value {
        self.id.to_json()
    }

    fn from_json(value: &Value) -> Result<Self, FieldError> {
        Uuid::from_json(value).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::field_type::Map;

    thread_local! {
        static WIPED: Cell<u32> = const { Cell::new(0) };
    }

    #[derive(Clone)]
    struct Noted;

    impl FieldType for Noted {
        const KIND: FieldKind = FieldKind::Bool;

        fn to_json(&self) -> Value {
            Value::Null
        }

        fn from_json(_: &Value) -> Result<Self, FieldError> {
            Ok(Self)
        }

        fn wipe(&mut self) {
            WIPED.set(WIPED.get() + 1);
        }
    }

    #[test]
    fn a_secret_is_wiped_when_it_is_dropped() {
        drop(Secret::new(Some(vec![Noted, Noted])));
        assert_eq!(WIPED.get(), 2);
        drop(Secret::new(Map::from([("key".to_owned(), Noted)])));
        assert_eq!(WIPED.get(), 3);
        let (mut text, mut number) = ("secret".to_owned(), 7_u32);
        text.wipe();
        number.wipe();
        assert_eq!((text.as_str(), number), ("", 0));
    }
}
