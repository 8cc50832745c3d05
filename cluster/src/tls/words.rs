//! Why a handshake came to nothing, for an operator.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// In words. A rustls error inside an I/O error is looked for first.
pub(crate) fn words(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(error) => of_rustls(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the connection was closed during the handshake".to_owned()
        }
        None => error.to_string(),
    }
}

/// A certificate was the reason, on either side.
pub(crate) fn by_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(
        inner,
        Some(
            Error::InvalidCertificate(_)
                | Error::NoCertificatesPresented
                | Error::AlertReceived(
                    AlertDescription::CertificateExpired
                        | AlertDescription::UnknownCA
                        | AlertDescription::CertificateRequired
                        | AlertDescription::BadCertificate
                )
        )
    )
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "of all that can go wrong these have an operator who can mend them"
)]
pub(super) fn of_rustls(error: &Error) -> String {
    let text = match error {
        Error::InvalidCertificate(bad) => return of_certificate(bad),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "the other side speaks no TLS",
        Error::NoCertificatesPresented => "the other side shows no certificate",
        Error::PeerIncompatible(_) => "the other side knows no TLS 1.3",
        Error::AlertReceived(AlertDescription::CertificateExpired) => {
            "the other side says that our certificate has expired"
        }
        Error::AlertReceived(AlertDescription::UnknownCA) => {
            "the other side says that our certificate is of another authority"
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the other side asks for a certificate"
        }
        Error::AlertReceived(AlertDescription::BadCertificate) => {
            "the other side says that our certificate is bad"
        }
        other => return other.to_string(),
    };
    text.to_owned()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "of all that can go wrong these have an operator who can mend them"
)]
fn of_certificate(bad: &CertificateError) -> String {
    let text = match bad {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet"
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the certificate is of another authority"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is not of an llm-router node"
        }
        other => return format!("the certificate cannot be trusted: {other}"),
    };
    text.to_owned()
}
