"""What kind of server the peer plays.

`STRICT` follows the reference and its recommendations. `OBSERVED` has every habit of the peer that was seen in the field
(SSP reference §4.6 and §14); a scenario switches single habits with `dataclasses.replace`. All times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Personality:
    """One habit a field; the comment names the row of the reference."""

    name: str = "strict"

    single_quoted_declaration: bool = False  # §14.2
    framed_text: bool = False                # §14.1: line breaks round every text, blank lines between elements
    presence_namespace: str | None = "http://www.openmobilealliance.org/DTD/IMPS-PA1.3"  # §14.2, §10.1
    misspelt_version: bool = False           # §14.3: procotolVersion
    broken_canceled: bool = False            # §14.4a
    unescaped_text: bool = False             # §14.4b
    odd_names: bool = False                  # §14.5: userid, JoinedUser
    empty_message_id: bool = False           # §14.6
    bare_scheme: bool = False                # §14.7: `wv:` left out where the reference saw it
    wrong_month: bool = False                # §14.8
    lower_base64: bool = False               # §9.2: `base64` instead of `BASE64`

    visible_after: float = 0.0               # §4.6: own handshake unseen for so long after the 200 to step 1
    half_open_forever: bool = False          # §4.6 last row, §14.11
    closes_silently: bool = False            # §1.2: no HTTP response where another would answer 4xx
    step2_delay: float = 0.5                 # §4.6 [R]: wait before step 2 as responder
    step2_repeats: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)  # §4.6 [R]; empty: forgets at the first refusal
    handshake_deadline: float = 30.0         # §4.6 [R]; not used when half_open_forever
    explicit_failure: bool = True            # §4.6 [R]: a failed handshake is told with a LoginResponse

    reports_as_requests: bool = False        # §14.12: sends reports and invitation answers in Request mode
    reads_only_responses: bool = False       # §14.12: drops reports and invitation answers that come in Request mode
    roles_exchanged: bool = False            # §14.12: InviteResponse with Inviting and Responding exchanged
    presence_without_status: bool = False    # §14.13: GetPresenceResponse has no Status, and needs one when it comes in
    shared_transaction_ids: bool = False     # §14.14
    notifies_before_status: bool = False     # §14.16
    notifies_empty_first: bool = False       # §14.16: an empty notification before the values
    notifies_after_unsubscribe: bool = False  # §14.16, §12.8
    echoes_session_header: bool = False      # §14.18: the response header shows the other side's id
    https_first: bool = False                # §14.19: tries TLS on every port first
    checks_requestor_only: bool = False      # §14.21: looks at the domain in MetaInfo and at no other
    deduplicates: bool = True                # §14.22
    answers_notifications: bool = True       # §11: Status for requests that need no answer
    knows_extensions: bool = True            # §11, SSP extensions: search, notices, keep-alive, logout

    first_contact_delay: float = 0.0         # §14.9: a message that had to open the session waits for the next queue run
    retry_after: float = 2.0                 # between attempts at a Request-mode document (§1.2: the observed peer 10 s, 20 s, ...)
    validity: float = 120.0                  # how long an outgoing request is worth trying


STRICT = Personality()

OBSERVED = Personality(
    name="observed",
    single_quoted_declaration=True,
    framed_text=True,
    presence_namespace=None,
    misspelt_version=True,
    broken_canceled=True,
    unescaped_text=True,
    odd_names=True,
    empty_message_id=True,
    bare_scheme=True,
    wrong_month=True,
    lower_base64=True,
    visible_after=0.45,
    half_open_forever=True,
    closes_silently=True,
    step2_delay=0.0,
    step2_repeats=(),
    explicit_failure=False,
    reports_as_requests=True,
    reads_only_responses=True,
    roles_exchanged=True,
    presence_without_status=True,
    shared_transaction_ids=True,
    notifies_before_status=True,
    notifies_empty_first=True,
    notifies_after_unsubscribe=True,
    echoes_session_header=True,
    https_first=True,
    checks_requestor_only=True,
    deduplicates=False,
    answers_notifications=False,
    knows_extensions=False,
    first_contact_delay=15.0,
    retry_after=10.0,
)

BY_NAME = {p.name: p for p in (STRICT, OBSERVED)}
