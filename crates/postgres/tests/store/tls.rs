//! Connections by TLS.

use crate::fixture::{append, create, id, loaded, texts};
use crate::server::query;
use durable_session::ErrorChain;
use durable_session::store::{StoreError, StoreErrorKind};
use durable_session_postgres::PostgresStore;
use futures_executor::block_on;
use testkit::PostgresServer;

fn open(url: &str) -> Result<PostgresStore, StoreError> {
    block_on(PostgresStore::builder(url).open())
}

fn refused(url: &str, told: &str) {
    let error = open(url).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    let chain = ErrorChain(&error).to_string();
    assert!(chain.contains(told), "{told:?} in {chain}");
}

#[test]
fn connections_are_encrypted_and_the_certificate_is_verified() {
    let Some(mut server) = PostgresServer::new() else {
        println!("note: not run: TLS: PG_BIN is not the folder of the server's programs");
        return;
    };
    let port = server.port();
    let url = |host: &str, parameters: &str| {
        format!("postgres://postgres@{host}:{port}/postgres?{parameters}")
    };
    refused(&url("localhost", "sslmode=require"), "could not connect");

    let certificate = server.secure();
    let trusted = format!("sslrootcert={}", certificate.display());
    for mode in ["require", "verify-full"] {
        let store = open(&url("localhost", &format!("sslmode={mode}&{trusted}"))).unwrap();
        let id = id(mode);
        create(&store, &id, vec![append("a")]);
        assert_eq!(texts(&loaded(&store, &id)), ["a"]);
        let secured = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                       WHERE ssl AND backend_type = 'client backend'";
        let secured: i64 = query(&server.url(), secured, &[])[0].get(0);
        assert!(secured > 0, "no connection is encrypted");
    }

    // Nobody vouches for the certificate, or it has another name.
    refused(&url("localhost", "sslmode=require"), "could not connect");
    refused(&url("127.0.0.1", &format!("sslmode=require&{trusted}")), "could not connect");
    let nothing = "sslmode=require&sslrootcert=/no/such/file";
    refused(&url("localhost", nothing), "cannot read the certificates of sslrootcert");
}
