//! The making of them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, date_time_ymd,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::files::{Readers, write};
use super::{MAX_DAYS, Made, leaf, named, refused};
use crate::error::Error;
use crate::identity::{ClusterId, NodeId};
use crate::tls::{Certified, NODE_DNS, uri_of};

const DAY: u64 = 24 * 3600;
/// A certificate begins this long before it is made, for nodes whose clocks are behind.
const BEFORE: u64 = 3600;
/// Most certificates at once.
const MAX_NODES: usize = 256;

/// What becomes of a node's files that are there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// They stay.
    Keep,
    /// New ones take their place.
    Replace,
}

pub(super) fn all(
    dir: &Path,
    cluster: Option<ClusterId>,
    nodes: &[NodeId],
    days: u32,
    existing: Existing,
) -> Result<Made, Error> {
    if !(1..=MAX_DAYS).contains(&days) {
        return Err(refused(format!("a certificate lasts 1 to {MAX_DAYS} days")));
    }
    if nodes.len() > MAX_NODES {
        return Err(refused(format!("at most {MAX_NODES} nodes at once")));
    }
    // their files are called the same as the authority's
    if nodes.iter().any(|node| node.as_str() == "ca") {
        return Err(refused("no node with certificates can be called ca"));
    }
    let may_begin = existing == Existing::Keep;
    let (authority, new_ca) = authority(dir, cluster, may_begin)?;
    let mut made = Made {
        cluster: authority.cluster.clone(),
        ca: dir.join("ca.pem"),
        new_ca,
        nodes: Vec::new(),
        kept: Vec::new(),
    };
    for node in nodes {
        let [cert, key] = ["pem", "key"].map(|kind| dir.join(format!("{node}.{kind}")));
        if existing == Existing::Keep && (cert.exists() || key.exists()) {
            made.kept.push(node.clone());
            continue;
        }
        let now = now();
        let life = [now - BEFORE, now + u64::from(days) * DAY];
        let issued = authority.sign(node, life)?;
        // the key first: until both are there a running node goes on with what it has
        save(&key, &issued.key, Readers::Owner)?;
        save(&cert, &issued.cert, Readers::All)?;
        made.nodes.push(node.clone());
    }
    Ok(made)
}

struct Authority {
    cluster: ClusterId,
    issuer: Issuer<'static, KeyPair>,
}

struct Issued {
    cert: String,
    key: String,
}

impl Authority {
    fn sign(&self, node: &NodeId, life: [u64; 2]) -> Result<Issued, Error> {
        let certified = Certified {
            cluster: self.cluster.clone(),
            node: Some(node.clone()),
        };
        let mut params = params(&certified, life)?;
        let dns = NODE_DNS.try_into().map_err(|error| failed(&error))?;
        params.subject_alt_names.push(SanType::DnsName(dns));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let cert = params
            .signed_by(&key, &self.issuer)
            .map_err(|error| failed(&error))?;
        Ok(Issued {
            cert: cert.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// The directory's authority, or a new one, and whether it is new.
fn authority(
    dir: &Path,
    cluster: Option<ClusterId>,
    may_begin: bool,
) -> Result<(Authority, bool), Error> {
    let [cert, key] = ["ca.pem", "ca.key"].map(|name| dir.join(name));
    if cert.exists() || key.exists() {
        return known(&cert, &key, cluster).map(|authority| (authority, false));
    }
    if !may_begin {
        let dir = dir.display();
        return Err(refused(format!(
            "there is no authority in {dir}: no ca.pem, no ca.key"
        )));
    }
    fs::create_dir_all(dir)
        .map_err(|error| refused(format!("{} cannot be made: {error}", dir.display())))?;
    let cluster = match cluster {
        Some(cluster) => cluster,
        None => drawn()?,
    };
    let signer = KeyPair::generate().map_err(|error| failed(&error))?;
    let params = authority_params(&cluster)?;
    let made = params
        .self_signed(&signer)
        .map_err(|error| failed(&error))?;
    save(&key, &signer.serialize_pem(), Readers::Owner)?;
    save(&cert, &made.pem(), Readers::All)?;
    let issuer = Issuer::new(params, signer);
    Ok((Authority { cluster, issuer }, true))
}

fn known(cert: &Path, key: &Path, cluster: Option<ClusterId>) -> Result<Authority, Error> {
    let Certified { cluster: of, node } = named(cert)?;
    if node.is_some() {
        return Err(refused(format!("{}: it is a node's", cert.display())));
    }
    if let Some(wanted) = cluster.filter(|wanted| *wanted != of) {
        return Err(refused(format!(
            "{} is the authority of cluster {of}, not of {wanted}",
            cert.display()
        )));
    }
    let text = fs::read_to_string(key)
        .map_err(|error| refused(format!("{} cannot be read: {error}", key.display())))?;
    let signer = KeyPair::from_pem(&text)
        .map_err(|_| refused(format!("{}: it holds no private key", key.display())))?;
    let leaf = leaf(cert)?;
    let (_, parsed) = X509Certificate::from_der(&leaf)
        .map_err(|error| refused(format!("{}: {error}", cert.display())))?;
    if parsed.public_key().raw != signer.subject_public_key_info() {
        return Err(refused(format!(
            "{} is not the key of {}",
            key.display(),
            cert.display()
        )));
    }
    let issuer = Issuer::new(authority_params(&of)?, signer);
    Ok(Authority {
        cluster: of,
        issuer,
    })
}

/// The same for the same cluster, apart from the dates: a certificate names its issuer by these.
fn authority_params(cluster: &ClusterId) -> Result<CertificateParams, Error> {
    let certified = Certified {
        cluster: cluster.clone(),
        node: None,
    };
    let now = now();
    let mut params = params(&certified, [now - BEFORE, now + u64::from(MAX_DAYS) * DAY])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn params(certified: &Certified, [from, to]: [u64; 2]) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(from);
    params.not_after = epoch + Duration::from_secs(to);
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, certified.to_string());
    params.distinguished_name = name;
    let uri = uri_of(certified)
        .try_into()
        .map_err(|error| failed(&error))?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    Ok(params)
}

fn drawn() -> Result<ClusterId, Error> {
    let drawn = format!("{:016x}", rand::random::<u64>());
    ClusterId::parse(&drawn).map_err(|error| refused(error.to_string()))
}

fn now() -> u64 {
    crate::clock::unix_ms() / 1000
}

fn save(path: &Path, text: &str, readers: Readers) -> Result<(), Error> {
    write(path, text, readers)
        .map_err(|error| refused(format!("{} cannot be written: {error}", path.display())))
}

fn failed(error: &rcgen::Error) -> Error {
    refused(format!("a certificate cannot be made: {error}"))
}

/// A node's certificate with any dates, for tests of the dates.
#[cfg(test)]
pub(crate) fn issue_between(dir: &Path, node: &NodeId, life: [u64; 2]) -> Result<(), Error> {
    let (authority, _) = authority(dir, None, true)?;
    let issued = authority.sign(node, life)?;
    save(
        &dir.join(format!("{node}.key")),
        &issued.key,
        Readers::Owner,
    )?;
    save(&dir.join(format!("{node}.pem")), &issued.cert, Readers::All)
}
