//! `docs/reference/cli.md` is made from the definitions of the commands, so that the page and `--help` agree.

use std::{fmt::Write, fs, path::Path};

use clap::{Arg, Command, CommandFactory};

#[test]
fn cli_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/cli.md");
    let wanted = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/reference/cli.md is old; UPDATE_GOLDEN=1 cargo test --test main rules"
    );
}

#[test]
fn help_says_what_json_is_and_keeps_within_the_screen() {
    for command in impsgw::cli::Cli::command().get_subcommands_mut() {
        let help = command.clone().max_term_width(100).render_long_help().to_string();
        for line in help.lines() {
            assert!(line.chars().count() <= 104, "{}: {line}", command.get_name());
        }
        let is_asked = !["serve", "lab", "help"].contains(&command.get_name());
        assert!(
            !is_asked || help.contains("JSON:"),
            "{} does not say what its JSON is",
            command.get_name()
        );
    }
}

fn page() -> String {
    let mut program = impsgw::cli::Cli::command().bin_name("impsgw");
    program.build();
    let mut page = String::from(
        "# Commands\n\nGenerated from `src/cli/`; `impsgw COMMAND --help` says the same.\n\n\
         Lists and objects in `--json` may get more keys; keys that are there keep their name and meaning, or the change stands \
         under *Breaking* in the changelog.\n",
    );
    write_help(&mut page, &program);
    page.push_str("\nCommands that ask a running gateway take these, besides their own:\n\n");
    let peer = program
        .find_subcommand("peer")
        .and_then(|peer| peer.find_subcommand("list"))
        .unwrap();
    peer.get_arguments()
        .for_each(|argument| write_argument(&mut page, argument));
    for command in program.get_subcommands().filter(|one| one.get_name() != "help") {
        write_command(&mut page, command, 2);
    }
    page
}

fn write_command(page: &mut String, command: &Command, level: usize) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = write!(page, "\n{} `{name}`\n\n{about}.\n", "#".repeat(level));
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|one| !is_common(command, one))
        .collect();
    if !own.is_empty() {
        page.push('\n');
        own.into_iter()
            .for_each(|argument| write_argument(page, argument));
    }
    write_help(page, command);
    for one in command.get_subcommands().filter(|one| one.get_name() != "help") {
        write_command(page, one, level + 1);
    }
}

fn write_argument(page: &mut String, argument: &Arg) {
    if ["help", "version"].contains(&argument.get_id().as_str()) {
        return;
    }
    let value = match argument.get_value_names() {
        Some([name, ..]) if argument.get_action().takes_values() => name.to_string(),
        _ => String::new(),
    };
    let name = match argument.get_long() {
        Some(long) if value.is_empty() => format!("--{long}"),
        Some(long) => format!("--{long} {value}"),
        None => value,
    };
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let mut notes = Vec::new();
    let possible: Vec<String> = argument
        .get_possible_values()
        .iter()
        .map(|one| one.get_name().to_owned())
        .collect();
    if !possible.is_empty() && argument.get_action().takes_values() {
        notes.push(format!("one of {}", possible.join(", ")));
    }
    if let ([default, ..], true) = (
        argument.get_default_values(),
        argument.get_action().takes_values(),
    ) {
        let default = default.to_string_lossy();
        if !default.is_empty() {
            notes.push(format!("default `{default}`"));
        }
    }
    if let Some(variable) = argument.get_env() {
        notes.push(format!("or `{}`", variable.to_string_lossy()));
    }
    let notes = if notes.is_empty() {
        String::new()
    } else {
        format!(" ({})", notes.join("; "))
    };
    let _ = writeln!(page, "- `{name}`: {help}{notes}");
}

fn write_help(page: &mut String, command: &Command) {
    if let Some(help) = command.get_after_help() {
        let _ = write!(page, "\n```text\n{help}\n```\n");
    }
}

/// The options of every command that asks a gateway; they stand on the page once.
fn is_common(command: &Command, argument: &Arg) -> bool {
    let is_client = command.get_arguments().any(|one| one.get_id() == "token_file");
    let id = argument.get_id().as_str();
    id == "help"
        || id == "version"
        || is_client && ["json", "config", "admin", "token_file", "unmask"].contains(&id)
}
