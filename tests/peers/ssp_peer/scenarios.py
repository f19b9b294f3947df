"""The rows of the reference, the scenarios that play them, and the runner.

`COVERAGE` maps every row of SSP reference §4.6, item of §14 and item of §16 to scenarios; `self_check` fails when one is
missing or unknown. Each scenario is a function named by its row, taking a `Context`.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Callable, Iterable

from .context import Context, Failed, Skipped

ROLES = ("partner", "home")
DIALS_ROLE = "dials"  # a home server that can't be told of the gateway; plays what `home` does, and what says so
SANDBOX_ROLE = "sandbox"  # a partner who walks through the sandbox; plays only what says so
STRICT_ROLE = "strict"  # a partner whose agreement has the strict profile; plays only what says so


@dataclass(frozen=True)
class Scenario:
    """A function with the roles in which it means something."""

    name: str
    play: Callable[[Context], None]
    roles: tuple[str, ...]


REGISTRY: dict[str, Scenario] = {}


def scenario(*roles: str):
    """Registers a scenario; without roles it is played in all of them."""

    def register(play: Callable[[Context], None]) -> Callable[[Context], None]:
        REGISTRY[play.__name__] = Scenario(play.__name__, play, roles or ROLES)
        return play

    return register


COVERAGE: dict[str, tuple[str, ...]] = {
    # §4.6, row by row.
    "4.6 no SRV for the claimed domain": ("row_4_6_no_srv_for_claimed_domain", "row_4_6_agreement_but_no_srv",
                                          "row_4_6_peer_finds_no_srv_for_us"),
    "4.6 200 before step 2": ("row_4_6_ack_before_step2", "row_4_6_peer_answers_at_once", "row_4_6_peer_answers_before_its_ack"),
    "4.6 no target accepts step 2": ("row_4_6_no_target_takes_step2",),
    "4.6 no target accepts step 1": ("row_4_6_no_target_takes_step1",),
    "4.6 step 2 too early": ("row_4_6_step2_too_early", "row_4_6_step2_repeated_with_same_secret"),
    "4.6 step 2 repeated when already taken": ("row_4_6_step2_repeated_by_peer",),
    "4.6 digest wrong": ("row_4_6_wrong_digest_in_step3", "row_4_6_wrong_digest_in_step4", "row_4_6_peer_refuses_step3",
                         "row_4_6_peer_refuses_step5"),
    "4.6 step 3 for an unknown transaction": ("row_4_6_step3_for_unknown_transaction",),
    "4.6 LoginResponse with a non-2xx status": ("row_4_6_error_status_from_initiator", "row_4_6_error_status_from_responder"),
    "4.6 step 5/6 before the digest": ("row_4_6_step5_before_digest", "row_4_6_step6_before_digest"),
    "4.6 the peer never goes on": ("row_4_6_peer_never_goes_on_as_initiator", "row_4_6_new_step1_replaces_the_old",
                                   "row_4_6_peer_never_goes_on_as_responder"),
    # §14, item by item.
    "14.1": ("row_14_1_white_space_and_case",),
    "14.2": ("row_14_2_declaration_and_namespaces",),
    "14.3": ("row_14_3_protocol_version_spellings",),
    "14.4": ("row_14_4a_ill_formed_cancel_invite", "row_14_4b_unescaped_notes"),
    "14.5": ("row_14_5_odd_names",),
    "14.6": ("row_14_6_empty_message_id",),
    "14.7": ("row_14_7_scheme_missing",),
    "14.8": ("row_14_8_wrong_month",),
    "14.9": ("row_14_9_first_message_deferred", "row_14_9_gateway_first_contact"),
    "14.10": ("row_4_6_step2_too_early", "row_4_6_step2_repeated_with_same_secret"),
    "14.11": ("row_4_6_peer_never_goes_on_as_initiator", "row_14_11_gateway_does_not_leave_us_half_open"),
    "14.12": ("row_14_12_report_in_request_mode", "row_14_12_report_in_response_mode", "row_14_12_gateway_reports_in_response_mode",
              "row_14_12_invite_answer_in_request_mode", "row_14_12_gateway_answers_invitation_in_response_mode"),
    "14.13": ("row_14_13_presence_answer_without_status", "row_14_13_gateway_sends_status"),
    "14.14": ("row_14_14_one_id_for_several_invitations", "row_14_14_retried_document_keeps_its_id"),
    "14.15": ("row_14_15_several_responses_for_one_id", "row_14_15_no_answer_at_all"),
    "14.16": ("row_14_16_notification_before_status", "row_14_16_empty_notification_is_not_offline",
              "row_14_16_more_attributes_than_asked", "row_14_16_notification_after_unsubscription"),
    "14.17": ("row_14_17_only_the_newest_notification",),
    "14.18": ("row_14_18_session_header_is_a_hint",),
    "14.19": ("row_14_19_tls_on_plain_listener", "row_14_19_gateway_tries_https_first"),
    "14.20": ("row_14_20_peer_vanishes_and_returns", "row_14_20_gateway_sends_what_the_peer_needs"),
    "14.21": ("row_14_21_sender_of_third_domain", "row_14_21_foreign_inviter"),
    "14.22": ("row_14_22_repeated_message_delivered_once", "row_14_22_gateway_does_not_repeat"),
    # §16, item by item.
    "16.1": ("check_16_1_generous_reading", "check_16_1_malformed", "check_16_1_doctype_refused", "check_16_1_bounded"),
    "16.2": ("check_16_2_acknowledges_at_once",),
    "16.3": ("check_16_3_session_ids", "check_16_3_unknown_session"),
    "16.4": ("check_16_4_ladder", "check_16_4_simultaneous_opening"),
    "16.5": ("check_16_5_encoding_in_any_case",),
    "16.6": ("row_14_20_gateway_sends_what_the_peer_needs", "row_14_13_gateway_sends_status",
             "row_14_12_gateway_reports_in_response_mode", "check_16_6_content_in_base64"),
    "16.7": ("check_16_7_foreign_sender_domain", "check_16_7_recipient_not_ours", "check_16_7_third_domain_from_home",
             "check_16_7_unknown_user", "check_16_7_some_recipients_unknown", "check_16_7_unknown_primitive"),
    "16.8": ("row_14_22_repeated_message_delivered_once", "row_14_14_one_id_for_several_invitations"),
    "16.9": ("check_16_9_retries_until_taken", "check_16_9_no_retry_after_an_error"),
    "16.10": ("check_16_10_old_sessions_stay_valid", "check_16_10_restart", "check_16_10_restart_resumes_the_session",
              "check_16_10_restart_keeps_an_undelivered_message", "check_16_10_restart_keeps_an_outstanding_report",
              "check_16_10_restart_keeps_a_report_we_wait_for", "check_16_10_restart_keeps_subscriptions"),
    # SSP extensions and the rest of the primitive index.
    "ext": ("ext_search_exact", "ext_search_wildcard", "ext_search_unknown_number", "ext_search_by_gateway", "ext_stop_search",
            "ext_contact_added_by_peer", "ext_contact_added_by_gateway", "ext_keep_alive", "ext_logout", "ext_redirect", "ext_redirect_in_a_circle", "ext_via_loop",
            "ext_bare_msisdn"),
    # What a home server and a partner have of the gateway between them.
    "home": ("home_message_to_a_partner", "home_message_from_a_partner", "home_presence_of_a_partner", "home_presence_for_a_partner",
             "home_invitation_to_a_partner", "home_search_at_a_partner", "home_message_to_another_home_server",
             "home_sender_of_another_home_server", "home_message_waits_for_a_home_server_that_is_away",
             "home_message_and_report_survive_a_restart", "home_report_survives_a_restart", "home_partner_speaks_only_for_itself",
             "home_nobody_is_found_by_part_of_a_number", "home_group_of_a_partner", "home_private_message_stays_private",
             "home_member_put_out_by_a_partner",
             "home_everybody_at_once"),
    # A home server that dials each partner itself, answers 901 to a sender who is not of the session's domain, and does not relay.
    "dials": ("dials_message_to_each_partner", "dials_message_from_each_partner", "dials_presence_of_partners", "dials_presence_for_partners",
              "dials_search_at_each_partner", "dials_search_by_partners", "dials_invitation_both_ways", "dials_everything_at_once",
              "dials_gateway_opens_as_each_partner", "dials_our_own_people_and_another_home_server", "dials_restart_keeps_every_session",
              "dials_report_survives_a_restart", "dials_message_waits_for_the_home_server", "dials_stranger_is_refused",
              "dials_server_checks_senders"),
    # A partner's walk through the sandbox, table by table.
    "sandbox": ("sandbox_is_found_by_dns", "sandbox_searches", "sandbox_messages", "sandbox_reports", "sandbox_answers_of_robots", "sandbox_presence",
                "sandbox_invitations", "sandbox_being_added", "sandbox_refused_numbers", "sandbox_several_at_once", "sandbox_numbers_that_go_wrong",
                "sandbox_ported_number_at_beta", "sandbox_dials_the_partner", "sandbox_odd_messages",
                "sandbox_two_echoes_come_to_rest", "sandbox_strangers"),
    "batching": ("strict_documents_carry_many",),
    "11": ("index_11_group_primitives_are_answered", "index_11_group_of_the_gateway", "index_11_presence_and_invitations"),
}

EXPECTED = ({k for k in COVERAGE if k.startswith("4.6 ")} | {f"14.{n}" for n in range(1, 23)} | {f"16.{n}" for n in range(1, 11)})
ROWS_OF_4_6 = 11
BOTH_WAYS = {"14.9", "14.11", "14.19", "16.4", "16.10", "ext"}  # as §4.6: every scenario of these is about sessions, which both kinds of peer have


def self_check() -> list[str]:
    """What is missing from the table or from the scenarios; empty when complete."""
    load()
    problems = [f"no scenario for {row}" for row in sorted(EXPECTED - set(COVERAGE))]
    rows = sum(1 for k in COVERAGE if k.startswith("4.6 "))
    if rows != ROWS_OF_4_6:
        problems.append(f"{rows} rows of §4.6, there are {ROWS_OF_4_6}")
    problems += [f"{row} has no scenario" for row, names in COVERAGE.items() if not names]
    for row, names in COVERAGE.items():
        if row.startswith("4.6 ") or row in BOTH_WAYS:
            playable = [REGISTRY[n].roles for n in names if n in REGISTRY]
            problems += [f"{row} is not played as {role}" for role in ROLES if not all(role in roles for roles in playable)]
    used = {n for names in COVERAGE.values() for n in names}
    problems += [f"{n} is not written" for n in sorted(used - set(REGISTRY))]
    problems += [f"{n} belongs to no row" for n in sorted(set(REGISTRY) - used)]
    return problems


def load() -> None:
    """Imports the modules that register scenarios."""
    from . import rows_checklist, rows_dials, rows_home, rows_ladder, rows_restart, rows_sandbox, rows_semantics, rows_syntax  # noqa: F401


def chosen(role: str, only: Iterable[str] = ()) -> list[Scenario]:
    """The scenarios of a role in the order of the table; `only` are parts of names."""
    load()
    ordered = dict.fromkeys(n for names in COVERAGE.values() for n in names)
    only, roles = list(only), {role, "home"} if role == DIALS_ROLE else {role}
    return [REGISTRY[n] for n in ordered if n in REGISTRY and roles & set(REGISTRY[n].roles) and (not only or any(o in n for o in only))]


def traced(entries: list[dict], started: float) -> list[str]:
    """What crossed the wire since a scenario began, a line each; the last of it."""
    lines = []
    for entry in entries[-60:]:
        at = f"{entry['at'] - started:7.2f} s {entry['dir']:4}"
        if entry["dir"] == "note":
            lines.append(f"{at} {({k: v for k, v in entry.items() if k in ('what', 'kind', 'why', 'error', 'domain')})}")
            continue
        what = ", ".join(f"{t['mode']} {t['primitive']} {t['tid']}" for t in entry["transactions"])
        lines.append(f"{at} {entry['session'] or '-'} {what or entry['body'][:60]!r} -> {entry['answer']}")
    return lines


def play(context: Context, scenarios: list[Scenario], say: Callable[[str], None] = print) -> tuple[int, int]:
    """Plays them one after the other, a line each; how many passed and failed. A skipped one counts as neither and is said."""
    passed = failed = skipped = 0
    for item in scenarios:
        label = f"{context.role} {item.name}"
        started, at, before = context.now(), context.peer.record.mark(), failed
        try:
            context.start()
            item.play(context)
        except Skipped as reason:
            skipped += 1
            say(f"SKIPPED {label}: {reason}")
        except Failed as error:
            failed += 1
            say(f"FAIL {label}: {error}")
        except Exception as error:
            failed += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            say(f"FAIL {label}: {type(error).__name__}: {error} ({where.filename.rpartition('/')[2]}:{where.lineno})")
        else:
            broken = context.peer.record.since(context.marks["peer"], lambda e: e.get("what") == "failed")
            if broken:
                failed += 1
                say(f"FAIL {label}: the peer itself failed: {broken[0]['error']}")
            else:
                passed += 1
                say(f"ok {label} ({context.now() - started:.1f} s)")
        if failed > before:
            for line in traced(context.peer.record.since(at), started):
                say(f"     {line}")
    if skipped:
        say(f"{skipped} skipped")
    return passed, failed
