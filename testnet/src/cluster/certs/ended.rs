//! A certificate that was good once. The program makes none with dates of the past.

use std::fs;

use anyhow::Context;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    SanType, date_time_ymd,
};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

use super::Certs;

impl Certs {
    /// Replaces a node's certificate by one that says the same and has ended long ago.
    ///
    /// # Errors
    /// When the files are not what the program makes.
    pub fn expire(&self, id: usize) -> anyhow::Result<()> {
        let [ca, ca_key, cert, key] = [
            "ca.pem".to_owned(),
            "ca.key".to_owned(),
            format!("n{id}.pem"),
            format!("n{id}.key"),
        ]
        .map(|name| self.folder.join(name));
        let authority = params_like(&fs::read(&ca)?)?;
        let signer = KeyPair::from_pem(&fs::read_to_string(&ca_key)?)?;
        let issuer = Issuer::new(authority, signer);
        let mut params = params_like(&fs::read(&cert)?)?;
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2001, 2, 1);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let own = KeyPair::generate()?;
        let made = params.signed_by(&own, &issuer)?;
        fs::write(&key, own.serialize_pem())?;
        fs::write(&cert, made.pem()).context("certificate")
    }
}

/// The names of a certificate.
fn params_like(pem: &[u8]) -> anyhow::Result<CertificateParams> {
    let (_, pem) = parse_x509_pem(pem)?;
    let certificate = pem.parse_x509()?;
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    for common in certificate.subject().iter_common_name() {
        name.push(DnType::CommonName, common.as_str()?);
    }
    params.distinguished_name = name;
    let others = certificate.subject_alternative_name()?;
    for other in others.iter().flat_map(|names| &names.value.general_names) {
        if let GeneralName::URI(uri) = other {
            params
                .subject_alt_names
                .push(SanType::URI((*uri).try_into()?));
        } else if let GeneralName::DNSName(dns) = other {
            let dns = (*dns).try_into()?;
            params.subject_alt_names.push(SanType::DnsName(dns));
        }
    }
    Ok(params)
}
