//! The bridge network of an installation and the addresses in it.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use bollard::Docker;
use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use uuid::Uuid;

use super::engine::{TAG_LABEL, failed, is_status};
use crate::provider::ProviderError;

/// An IPv4 subnet, such as `10.213.64.0/18`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    first: u32,
    bits: u8,
}

impl Subnet {
    /// One of 1024 subnets of 16384 addresses, from the installation's tag: installations that share an engine do
    /// not get in each other's way, most of the time.
    pub fn of_tag(tag: &str) -> Self {
        // FNV-1a: the same in every release.
        let hash = tag
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Self { first: (10 << 24) | ((hash >> 8) & 0x3ff) << 14, bits: 18 }
    }

    /// How many addresses nodes can have: all but the subnet's own, the gateway's and the broadcast address.
    fn room(self) -> u32 {
        (1_u32 << (32 - self.bits)) - 3
    }

    /// The address that the host has.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.first + 1)
    }

    /// The address of a node, from random bits of its id, so that no allocation is kept.
    pub fn address(self, id: Uuid) -> Ipv4Addr {
        // The last bytes are random in every version of UUID that is in use.
        let [.., a, b, c, d] = id.into_bytes();
        Ipv4Addr::from(self.first + 2 + u32::from_be_bytes([a, b, c, d]) % self.room())
    }

    /// The place of an address in the subnet.
    pub(super) fn offset(self, address: Ipv4Addr) -> u32 {
        u32::from(address).wrapping_sub(self.first)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.bits)
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("expected an IPv4 subnet of 8 to 28 bits such as 10.213.64.0/18, found {text:?}");
        let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
        let first = u32::from(address.parse::<Ipv4Addr>().map_err(|_| wrong())?);
        let bits: u8 = bits.parse().map_err(|_| wrong())?;
        // Room for a few nodes, and no bits beside the prefix.
        if !(8..=28).contains(&bits) || first & ((1_u32 << (32 - bits)) - 1) != 0 {
            return Err(wrong());
        }
        Ok(Self { first, bits })
    }
}

/// Makes the network, or finds it.
pub(super) async fn ensure(
    docker: &Docker,
    name: &str,
    subnet: Subnet,
    tag: &str,
) -> Result<(), ProviderError> {
    let wanted = subnet.to_string();
    match docker.inspect_network(name, None).await {
        Ok(found) => {
            let configs = found.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
            if configs.iter().any(|config| config.subnet.as_deref() == Some(&wanted)) {
                return Ok(());
            }
            let has: Vec<_> = configs.into_iter().filter_map(|config| config.subnet).collect();
            return Err(ProviderError::Terminal(format!(
                "the Docker network {name} has the subnet {}, the settings say {wanted}; change `docker_subnet`, or \
                 remove the network when no container is in it",
                has.join(", ")
            )));
        }
        Err(error) if is_status(&error, 404) => {}
        Err(error) => return Err(failed(format!("look at the Docker network {name}"), error)),
    }
    let request = NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        ipam: Some(Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(wanted.clone()),
                gateway: Some(subnet.gateway().to_string()),
                ..IpamConfig::default()
            }]),
            ..Ipam::default()
        }),
        labels: Some([(TAG_LABEL.to_owned(), tag.to_owned())].into()),
        ..NetworkCreateRequest::default()
    };
    match docker.create_network(request).await {
        Ok(_) => Ok(()),
        // Another worker was faster.
        Err(error) if is_status(&error, 409) => Ok(()),
        Err(error) if error.to_string().contains("overlaps") => Err(ProviderError::Terminal(format!(
            "the subnet {wanted} of the Docker network {name} overlaps with another one on this machine; set \
             `docker_subnet` to a free one"
        ))),
        Err(error) => Err(failed(format!("make the Docker network {name}"), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, &str)>) {
        let read = text.parse::<Subnet>();
        let found = read.clone().map(|subnet| (subnet.to_string(), subnet.gateway().to_string()));
        assert_eq!(found.ok(), expected.map(|(a, b)| (a.to_owned(), b.to_owned())), "{read:?}");
    }

    #[test]
    fn subnets_are_read() {
        check("10.213.64.0/18", Some(("10.213.64.0/18", "10.213.64.1")));
        check("172.30.0.0/28", Some(("172.30.0.0/28", "172.30.0.1")));
        for wrong in
            ["", "10.0.0.0", "10.0.0.1/24", "10.0.0.0/29", "10.0.0.0/7", "10.0.0.0/x", "::/64", "300.0.0.0/8"]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn addresses_are_inside_and_not_the_hosts() {
        for text in ["10.213.64.0/18", "172.30.0.0/28"] {
            let subnet: Subnet = text.parse().unwrap();
            for number in 0..20_000_u128 {
                let address = subnet.address(Uuid::from_u128(number * 0x0001_0003_0107));
                let offset = subnet.offset(address);
                assert!((2..(1 << (32 - subnet.bits)) - 1).contains(&offset), "{address} in {text}");
            }
        }
    }

    #[test]
    fn a_tag_gives_a_subnet_that_can_be_written_in_settings() {
        let subnets: std::collections::BTreeSet<String> =
            (0..200).map(|number| Subnet::of_tag(&format!("{number:016x}")).to_string()).collect();
        assert!(subnets.len() > 150, "{}", subnets.len());
        for subnet in subnets {
            assert_eq!(subnet.parse::<Subnet>().unwrap().to_string(), subnet);
        }
    }
}
