//! The parameters of a URL that the driver does not know.

use std::path::PathBuf;

/// A URL taken apart.
pub(crate) struct Url {
    /// Without these parameters.
    pub(crate) rest: String,
    pub(crate) schema: Option<String>,
    /// `sslrootcert`: a file of certificates.
    pub(crate) authorities: Option<PathBuf>,
}

impl Url {
    pub(crate) fn of(text: &str) -> Self {
        let (mut schema, mut authorities) = (None, None);
        let Some((start, parameters)) = text.split_once('?') else {
            return Self { rest: text.to_owned(), schema, authorities };
        };
        let mut others = Vec::new();
        for parameter in parameters.split('&') {
            match parameter.split_once('=') {
                Some(("schema", name)) => schema = Some(name.to_owned()),
                Some(("sslrootcert", path)) => authorities = Some(path.into()),
                // Certificates are always verified, with the name of the server.
                Some(("sslmode", "verify-ca" | "verify-full")) => others.push("sslmode=require"),
                _ => others.push(parameter),
            }
        }
        let separator = if others.is_empty() { "" } else { "?" };
        Self { rest: format!("{start}{separator}{}", others.join("&")), schema, authorities }
    }
}

#[cfg(test)]
mod tests {
    use super::Url;
    use crate::PostgresStore;
    use std::path::Path;

    #[test]
    fn the_schema_is_taken_out_of_the_url() {
        for (text, url, schema) in [
            ("postgres://u:secret@h/d", "postgres://u:secret@h/d", None),
            ("postgres://u:secret@h/d?schema=s1", "postgres://u:secret@h/d", Some("s1")),
            ("postgres://h/d?a=b", "postgres://h/d?a=b", None),
            ("postgres://h/d?a=b&schema=s1&c=d", "postgres://h/d?a=b&c=d", Some("s1")),
        ] {
            let found = Url::of(text);
            assert_eq!((&*found.rest, found.schema.as_deref()), (url, schema));
            assert!(!format!("{:?}", PostgresStore::builder(text)).contains("secret"));
        }
    }

    #[test]
    fn the_modes_of_libpq_that_verify_require_tls() {
        let found = Url::of("postgres://h/d?sslmode=verify-full&sslrootcert=/etc/ca.pem");
        assert_eq!(found.rest, "postgres://h/d?sslmode=require");
        assert_eq!(found.authorities.as_deref(), Some(Path::new("/etc/ca.pem")));
    }
}
