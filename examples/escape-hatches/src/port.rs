//! [`Port`]: a field type of one's own.

use metapaas_core::FieldType;
use metapaas_core::descriptor::FieldKind;
use metapaas_core::field_type::FieldError;
use serde_json::Value;

/// A TCP port that needs no privilege.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port(u16);

impl Port {
    /// The port `by` further on, if there is one.
    pub(crate) fn plus(self, by: u16) -> Option<Self> {
        self.0.checked_add(by).map(Self)
    }
}

impl FieldType for Port {
    /// Validation, OpenAPI and the command line know the interval from here.
    const KIND: FieldKind = FieldKind::Integer { min: 1024, max: 65_535 };

    fn to_json(&self) -> Value {
        Value::from(self.0)
    }

    fn from_json(value: &Value) -> Result<Self, FieldError> {
        let number = value.as_u64().filter(|number| *number >= 1024);
        let port = number.and_then(|number| u16::try_from(number).ok());
        port.map(Self).ok_or_else(|| FieldError::new("a port from 1024 to 65535", value))
    }
}
