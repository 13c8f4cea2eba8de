//! `login`, `logout` and `whoami`.

use clap::Args;
use serde_json::{Value, json};

use super::ClientOptions;
use super::client::{Api, Client, http_client, is_local};
use super::error::CliError;
use super::logins::{LoginFile, Logins};
use super::output::{Output, pairs, table};
use super::places::Places;
use super::prompt;
use super::session::{Session, find_endpoint, grant, login_file};
use super::text::{clean, plain};

const UNAUTHENTICATED: u8 = 4;

/// `login`
#[derive(Args, Clone, Debug)]
pub struct LoginArguments {
    /// Who logs in; asked for when absent
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

/// `metapaas login`.
pub(super) async fn login(
    options: &ClientOptions,
    places: &Places,
    arguments: &LoginArguments,
    output: &mut Output,
) -> Result<(), CliError> {
    let endpoint = find_endpoint(options, places)?;
    let file = login_file(places).ok_or_else(no_home)?;
    if endpoint.starts_with("http://") && !is_local(&endpoint) {
        output.note(&format!("warning: the password goes to {endpoint} without encryption"));
    }
    let user = match &arguments.user {
        Some(user) => user.clone(),
        None => prompt::line(&format!("User at {endpoint}: ")).await?,
    };
    let password = if arguments.password_stdin {
        prompt::password_of_stdin()?
    } else {
        prompt::password(&format!("Password of {user}: ")).await?
    };
    let http = http_client(options.ca_file.as_deref())?;
    log_in(&http, output, &file, &endpoint, &user, &password).await
}

/// Checks the password with the server and keeps what it gives for it.
pub(super) async fn log_in(
    http: &reqwest::Client,
    output: &mut Output,
    file: &LoginFile,
    endpoint: &str,
    user: &str,
    password: &str,
) -> Result<(), CliError> {
    let body = json!({"grant_type": "password", "username": user, "password": password});
    let granted = match grant(http, endpoint, user, &body).await {
        Err(CliError::Api(problem)) if problem.status == 401 => {
            let text = format!("{endpoint} does not accept the password of {user}, or has no such user");
            return Err(CliError::Unauthenticated(text));
        }
        granted => granted?,
    };
    let locked = file.lock().await?;
    // A damaged file may be replaced: that is what its error message tells people to do.
    let mut logins = match locked.read() {
        Err(CliError::Unexpected { .. }) => Logins::default(),
        logins => logins?,
    };
    logins.servers.insert(endpoint.to_owned(), granted.login);
    logins.current = Some(endpoint.to_owned());
    locked.write(&logins)?;
    if granted.must_change_password {
        output.note(&format!(
            "choose a password of your own with `metapaas iam users set-password {}`",
            clean(user)
        ));
    }
    output.say(&format!("logged in to {endpoint} as {}", clean(user)))
}

/// `metapaas logout`.
pub(super) async fn logout(
    options: &ClientOptions,
    places: &Places,
    output: &mut Output,
) -> Result<(), CliError> {
    let file = login_file(places).ok_or_else(no_home)?;
    let known = file.read()?;
    let endpoint = match &options.endpoint {
        Some(_) => find_endpoint(options, places)?,
        None => known.current.ok_or_else(|| CliError::Unauthenticated("nobody is logged in".into()))?,
    };
    let session = Session::of_login(&endpoint, &file)
        .ok_or_else(|| CliError::Unauthenticated(format!("nobody is logged in to {endpoint}")))?;
    // The server ends the session while its tokens are still known here; they are forgotten whatever it answers.
    let ended = match Api::new(session, options.ca_file.as_deref())?.post_nothing("/v1/iam/logout").await {
        // It had ended before.
        Err(error) if error.exit_code() == UNAUTHENTICATED => Ok(()),
        ended => ended.map(drop),
    };
    let locked = file.lock().await?;
    let mut logins = locked.read()?;
    logins.servers.remove(&endpoint);
    if logins.current.as_ref() == Some(&endpoint) {
        logins.current = logins.servers.keys().next().cloned();
    }
    locked.write(&logins)?;
    ended?;
    output.say(&format!("logged out of {endpoint}"))
}

/// `metapaas whoami`.
pub(super) async fn whoami(client: &mut Client<'_>) -> Result<(), CliError> {
    let who = client.api.get("/v1/iam/whoami", &[]).await?.body;
    let endpoint = client.api.endpoint().to_owned();
    client.output.show(&who, || {
        let facts: Vec<(String, String)> = vec![
            ("name".into(), plain(&who["name"])),
            ("kind".into(), plain(&who["kind"]).replace('_', " ")),
            ("id".into(), plain(&who["id"])),
            ("server".into(), endpoint),
            ("everywhere".into(), plain(&who["platform_role"])),
        ];
        let mut text = pairs(facts.into_iter().filter(|(_, value)| !value.is_empty()).collect());
        let bindings = who["bindings"].as_array().map_or(&[][..], Vec::as_slice);
        let project = |binding: &Value| match plain(&binding["project"]) {
            name if name.is_empty() => plain(&binding["project_id"]),
            name => name,
        };
        if !bindings.is_empty() {
            let rows = bindings.iter().map(|binding| vec![project(binding), plain(&binding["role"])]);
            text.push('\n');
            text.push_str(&table(&["PROJECT", "ROLE"], rows.collect()));
        }
        text
    })
}

fn no_home() -> CliError {
    CliError::Usage("there is no place for the login: set HOME or XDG_CONFIG_HOME".into())
}
