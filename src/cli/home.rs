//! `impsgw home`: the accounts of the embedded home domain.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    client::{Remote, escaped},
    output::{Done, Failure, cell, print, print_json, print_table, rows, time},
};

/// The arguments of `impsgw home`.
#[derive(Args, Clone, Debug)]
pub struct HomeArgs {
    #[command(subcommand)]
    command: HomeCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum HomeCommand {
    /// List accounts by number.
    List {
        /// Numbers that begin so, such as +447700.
        #[arg(long)]
        prefix: Option<String>,
        /// Go on after this number.
        #[arg(long)]
        after: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show one account.
    Show {
        /// Its number.
        number: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Make an account; its password is drawn and printed this once, unless a file holds it.
    Add {
        /// Its number, as +447700900123.
        number: String,
        #[command(flatten)]
        row: NewRow,
        /// A file that holds the password; - reads standard input.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Make many accounts, all or none; a bad line is named.
    Import {
        /// CSV with a heading: number, user, and if you like friendly_name, domain, language, password.
        file: PathBuf,
        /// Where the drawn passwords go, as CSV that only you may read; needed where a line has no password.
        #[arg(long, value_name = "FILE")]
        passwords: Option<PathBuf>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Close an account whose number was ported out; nothing of it is lost.
    Close(One),
    /// Open a closed account again.
    Open(One),
    /// Give an account another password and log its devices out; it is drawn and printed, unless a file holds it.
    Password {
        /// Its number.
        number: String,
        /// A file that holds the password; - reads standard input.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Forget an account with its contacts, inbox and devices.
    Remove {
        /// Its number.
        number: String,
        /// Really; nothing of it can be brought back.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Args, Clone, Debug)]
struct One {
    /// Its number.
    number: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args, Clone, Debug)]
struct NewRow {
    /// The user name: the part before @.
    #[arg(long)]
    user: String,
    /// The name that others see; the user name by default.
    #[arg(long)]
    name: Option<String>,
    /// The domain; by default the one whose range the number lies in.
    #[arg(long)]
    domain: Option<String>,
    /// The language the server speaks to him.
    #[arg(long)]
    language: Option<String>,
}

/// A line of an import.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Row {
    number: String,
    user: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    friendly_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    #[serde(skip_deserializing)]
    line: u64,
}

pub(super) async fn run(args: HomeArgs) -> Done {
    match args.command {
        HomeCommand::List {
            prefix,
            after,
            limit,
            remote,
        } => {
            let query = [
                ("prefix", prefix),
                ("after", after),
                ("limit", Some(limit.to_string())),
            ];
            let answer = remote.client()?.get("accounts", &query).await?;
            list(&answer, remote.json);
            Ok(())
        }
        HomeCommand::Show { number, remote } => {
            let answer = remote.client()?.get(&path(&number, ""), &[]).await?;
            shown(&answer, remote.json);
            Ok(())
        }
        HomeCommand::Add {
            number,
            row,
            password_file,
            remote,
        } => add(number, row, password_file.as_deref(), &remote).await,
        HomeCommand::Import {
            file,
            passwords,
            remote,
        } => import(&file, passwords.as_deref(), &remote).await,
        HomeCommand::Close(one) => act(&one, "/close").await,
        HomeCommand::Open(one) => act(&one, "/open").await,
        HomeCommand::Password {
            number,
            password_file,
            remote,
        } => {
            let body = json!({ "password": password_file.as_deref().map(secret).transpose()? });
            let answer = remote.client()?.post(&path(&number, "/password"), body).await?;
            if remote.json {
                print_json(&answer);
            } else if answer.get("password").is_some_and(Value::is_string) {
                print(&cell(&answer, "password"));
            } else {
                print(&format!("{number} has its new password"));
            }
            Ok(())
        }
        HomeCommand::Remove { number, yes, remote } => {
            if !yes {
                return Err(Failure::Usage(format!(
                    "{number} would be forgotten for good; say --yes, or use `impsgw home close`"
                )));
            }
            let answer = remote.client()?.delete(&path(&number, ""), &[]).await?;
            if remote.json {
                print_json(&answer);
            } else {
                print(&format!("{number} is forgotten"));
            }
            Ok(())
        }
    }
}

fn list(answer: &Value, json: bool) {
    if json {
        return print_json(answer);
    }
    print_table(
        &rows(answer, "accounts"),
        &[
            ("NUMBER", &|row| cell(row, "number")),
            ("USER", &|row| cell(row, "user")),
            ("NAME", &|row| cell(row, "friendly_name")),
            ("OPEN", &|row| cell(row, "is_active")),
            ("DEVICES", &|row| cell(row, "devices")),
            ("INBOX", &|row| cell(row, "inbox")),
            ("CREATED", &|row| time(row, "created")),
        ],
        "no accounts",
    );
    if answer.get("next").is_some_and(Value::is_string) {
        print(&format!("more with --after {}", cell(answer, "next")));
    }
}

fn shown(answer: &Value, json: bool) {
    if json {
        return print_json(answer);
    }
    for key in [
        "number",
        "user",
        "friendly_name",
        "language",
        "is_active",
        "devices",
        "contacts",
        "watchers",
        "inbox",
    ] {
        print(&format!("{key:<14}  {}", cell(answer, key)));
    }
    print(&format!("{:<14}  {}", "created", time(answer, "created")));
}

async fn act(one: &One, action: &str) -> Done {
    let answer = one
        .remote
        .client()?
        .post(&path(&one.number, action), json!({}))
        .await?;
    shown(&answer, one.remote.json);
    Ok(())
}

async fn add(number: String, row: NewRow, password_file: Option<&Path>, remote: &Remote) -> Done {
    let row = Row {
        number,
        user: row.user,
        friendly_name: row.name,
        domain: row.domain,
        language: row.language,
        password: password_file.map(secret).transpose()?,
        line: 1,
    };
    let answer = remote
        .client()?
        .post("accounts", json!({ "accounts": [row] }))
        .await?;
    if remote.json {
        print_json(&answer);
        return Ok(());
    }
    for made in rows(&answer, "accounts") {
        print(&format!("{} is {}", cell(&made, "number"), cell(&made, "user")));
        if made.get("password").is_some() {
            print(&format!(
                "password {} (it can't be shown again)",
                cell(&made, "password")
            ));
        }
    }
    Ok(())
}

async fn import(file: &Path, passwords: Option<&Path>, remote: &Remote) -> Done {
    let found = read(file)?;
    if passwords.is_none() && found.iter().any(|row| row.password.is_none()) {
        return Err(Failure::Usage(
            "lines without a password get one that is drawn; name a file for them with --passwords".into(),
        ));
    }
    let client = remote.client()?;
    // Made before the accounts are: a password that can't be written down would be lost.
    let secrets = passwords.map(private_file).transpose()?;
    let answer = client
        .post("accounts", json!({ "accounts": found }))
        .await
        .map_err(|failure| {
            // It holds nothing, and would be in the way of the next try.
            if let Some(path) = passwords {
                let _ = std::fs::remove_file(path);
            }
            match failure {
                Failure::Bad(text) => Failure::Bad(format!("{}: {text}", file.display())),
                Failure::Usage(text) => Failure::Usage(text),
            }
        })?;
    let made = rows(&answer, "accounts");
    if let (Some(secrets), Some(path)) = (secrets, passwords) {
        write_passwords(secrets, &made)
            .map_err(|error| Failure::Bad(format!("{} can't be written: {error}", path.display())))?;
    }
    if remote.json {
        print_json(&json!({ "imported": made.len() }));
    } else {
        print(&format!("{} account(s) imported", made.len()));
    }
    Ok(())
}

/// The rows of a file, or every line that can't be read.
fn read(file: &Path) -> Result<Vec<Row>, Failure> {
    let name = file.display();
    let unreadable = |error: &dyn std::fmt::Display| Failure::Bad(format!("{name} can't be read: {error}"));
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(file)
        .map_err(|error| unreadable(&error))?;
    let heading = reader.headers().map_err(|error| unreadable(&error))?.clone();
    let (mut found, mut bad) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                bad.push(format!("{name}: {error}"));
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        match record.deserialize::<Row>(Some(&heading)) {
            Ok(row) => found.push(Row { line, ..row }),
            Err(error) => bad.push(format!("{name}:{line}: {}", reason(&error))),
        }
    }
    if !bad.is_empty() {
        bad.truncate(MAX_BAD);
        return Err(Failure::Bad(format!("nothing was imported:\n{}", bad.join("\n"))));
    }
    if found.is_empty() {
        return Err(Failure::Bad(format!("{name} has no line below its heading")));
    }
    Ok(found)
}

fn reason(error: &csv::Error) -> String {
    if let csv::ErrorKind::Deserialize { err, .. } = error.kind() {
        err.to_string()
    } else {
        error.to_string()
    }
}

/// A new file that only its owner may read.
fn private_file(path: &Path) -> Result<File, Failure> {
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| Failure::Usage(format!("{} can't be made: {error}", path.display())))
}

fn write_passwords(mut file: File, made: &[Value]) -> std::io::Result<()> {
    writeln!(file, "number,user,password")?;
    for one in made.iter().filter(|one| one.get("password").is_some()) {
        let [number, user, password] = ["number", "user", "password"].map(|key| cell(one, key));
        writeln!(file, "{number},{user},{password}")?;
    }
    file.sync_all()
}

/// A password from a file, without the end of its line.
fn secret(file: &Path) -> Result<String, Failure> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text = text
        .map_err(|error| Failure::Usage(format!("the password {} can't be read: {error}", file.display())))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn path(number: &str, action: &str) -> String {
    format!("accounts/{}{action}", escaped(number))
}

/// Bad lines that are named.
const MAX_BAD: usize = 100;
