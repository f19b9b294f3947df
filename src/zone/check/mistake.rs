//! The list of mistakes: name for scripts, severity, and what to do. One table, kept whole by the compiler.

use std::fmt;

use serde::{Serialize, Serializer};

/// Whether a mistake breaks something.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Routing fails for somebody.
    Error,
    /// It works, but it is fragile or not what was meant.
    Warning,
}

macro_rules! mistakes {
    ($($(#[doc = $doc:literal])+ $variant:ident, $severity:ident, $code:literal, $advice:literal;)+) => {
        /// A kind of mistake.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Mistake {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Mistake {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name for scripts; stays the same between versions.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// Whether it breaks something.
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }

            /// What to do about it.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)+ }
            }
        }
    };
}

mistakes! {
    /// A line that is not zone text.
    Syntax, Error, "syntax", "correct the line; a server that reads this file keeps or refuses the whole zone";
    /// No SOA record.
    MissingSoa, Error, "missing-soa", "begin the zone with one SOA record at its origin";
    /// More than one SOA record.
    SecondSoa, Error, "second-soa", "a zone has one SOA record; put the other zone into a file of its own";
    /// No NS record at the origin.
    MissingNs, Error, "missing-ns", "add the zone's name servers as NS records of its origin";
    /// A record whose owner is not under the origin.
    OutOfZone, Error, "out-of-zone", "check $ORIGIN and final dots, or move the record to its own zone";
    /// A name that holds its origin twice.
    FinalDot, Error, "final-dot", "end absolute names with a dot; without one the origin is added (RFC 1035 §5.1)";
    /// The same record twice.
    Duplicate, Warning, "duplicate", "remove one of them; a set holds a record once (RFC 2181 §5)";
    /// A CNAME record beside other records.
    CnameAndOther, Error, "cname-and-other", "a name with a CNAME has no other records (RFC 1034 §3.6.2); remove one or the other";
    /// A name server inside the zone that has no address there.
    NsWithoutAddress, Error, "ns-without-address", "add the A or AAAA record of the name server";
    /// An alias that ends nowhere.
    AliasWithoutEnd, Error, "alias-without-end", "let the CNAME lead to a name that has records of its own (RFC 1034 §3.6.2)";
    /// TTL 0.
    TtlZero, Warning, "ttl-zero", "every request asks again; 60 to 300 seconds are enough for quick changes";
    /// A TTL that outlives a number's move.
    TtlLong, Warning, "ttl-long", "numbers are ported: use 3600 seconds or less for NAPTR records and for the SOA minimum";
    /// TTLs of one set differ.
    TtlDiffers, Warning, "ttl-differs", "give all records of a name and type one TTL (RFC 2181 §5.2)";
    /// An existing name takes siblings away from a wildcard.
    WildcardHidden, Warning, "wildcard-hidden", "write the siblings out, or repeat the wildcard below the name that exists (RFC 4592 §2.2)";
    /// A backslash in the zone file that was meant for the expression.
    SingleBackslash, Error, "single-backslash", "double every backslash of the expression in the zone file: \\\\1, \\\\+ (RFC 6116 §4)";
    /// A backslash and three digits.
    DecimalEscape, Warning, "decimal-escape", "a backslash and three digits are one octet in a zone file; double the backslash if a back-reference was meant";
    /// Backslashes that were doubled twice.
    DoubleEscaped, Error, "double-escaped", "two backslashes in the zone file are one on the wire; a tool has doubled them a second time";
    /// An expression that cannot be used.
    Regexp, Error, "regexp", "correct the regexp field: delimiter, POSIX extended expression, delimiter, URI, delimiter (RFC 3402 §3.2)";
    /// An expression that does not match its own number.
    NoMatch, Error, "no-match", "the expression is applied to the whole number with its +; correct it or the owner name";
    /// An expression that matches a part.
    PartialMatch, Warning, "partial-match", "begin the expression with ^ and end it with $";
    /// The flag `i`.
    IgnoreCase, Warning, "flag-i", "remove the i after the last delimiter: it has no effect, and some clients refuse it (RFC 6116 §5.1)";
    /// A result that is not a URI.
    NotAUri, Error, "not-a-uri", "the replacement must give an absolute URI in ASCII (RFC 6116 §3.3)";
    /// A URI that its service does not have.
    SchemeMismatch, Error, "scheme-mismatch", "use the URI scheme that the Enumservice is registered with: im: for im, pres: for pres";
    /// A compound whose URI suits a part of it.
    CompoundScheme, Warning, "compound-scheme", "write one record for each service, each with its own URI scheme";
    /// Both REGEXP and REPLACEMENT.
    BothRegexpAndReplacement, Error, "regexp-and-replacement", "a record with flag u has a regexp and the replacement `.` (RFC 3403 §4.1)";
    /// A flag that is not `u`.
    UnknownFlag, Error, "flags", "ENUM records have the flag u, or none when they lead to another name (RFC 6116 §3.4.2)";
    /// A services field that cannot be read.
    Services, Error, "services", "write E2U+service, for example E2U+im (RFC 6116 §3.4.3)";
    /// The order of RFC 2916.
    LegacyServices, Warning, "legacy-services", "write E2U first: E2U+sip (RFC 6116 §3.4.3)";
    /// A service that nobody asks for.
    UnknownService, Warning, "unknown-service", "use a registered Enumservice: im and pres for IMPS, which has none of its own; clients pass over all others";
    /// A private service in the public tree.
    PrivateService, Error, "private-service", "P- services are for the one private network that they were made for; clients of public ENUM discard them (RFC 6116 §3.4.3.1)";
    /// Records that clients can't order.
    EqualPreference, Warning, "equal-preference", "give each record an ORDER or PREFERENCE of its own, or clients choose as they please (RFC 5483 §4.4)";
    /// A wildcard that leads all numbers to one person.
    WildcardOneUser, Warning, "wildcard-one-user", "carry the number over with a group and a back-reference: !^(.*)$!im:\\1@domain!";
    /// A user part that is a number without its plus.
    NumberWithoutPlus, Warning, "number-without-plus", "keep the + in the user part, so that it is known as a number: !^(.*)$!im:\\1@domain!";
    /// A domain that no server can be found for.
    DomainWithoutServer, Error, "domain-without-server", "add the SRV record of _imps-server._tcp at the domain, or correct the domain of the URI";
    /// No flag and nowhere to go.
    NoReplacement, Error, "no-replacement", "set the flag u if the record is terminal, or name the replacement if it is not";
    /// Fields that are ignored.
    IgnoredFields, Warning, "ignored-fields", "without a flag only the replacement counts (RFC 6116 §5.2.1); remove regexp and services or set the flag u";
    /// Non-terminals that lead to no URI.
    NoTerminal, Error, "no-terminal", "end the chain with a record of flag u and a regexp";
    /// Non-terminals in a circle.
    Loop, Error, "loop", "let one of the names hold a record of flag u instead";
    /// Too many non-terminals in a row.
    TooDeep, Error, "too-deep", "more than five records without a flag may be taken for a loop (RFC 6116 §5.2.1); shorten the chain";
    /// ENUM records at a name that is not a number.
    OwnerNotDigits, Error, "owner-not-digits", "reverse the digits of the whole number and put a dot between them, without the + (RFC 6116 §3.2)";
    /// ENUM records at a name that nothing leads to.
    Unreferenced, Warning, "unreferenced", "no number and no non-terminal record of these files leads here; remove the record or point to it";
    /// An SRV or NS target that is an alias.
    TargetAlias, Error, "target-alias", "name the host itself, not an alias (RFC 2782)";
    /// An SRV target inside the zones that has no address.
    TargetWithoutAddress, Error, "target-without-address", "add the A or AAAA record of the target, or correct its name";
    /// A target that is an address.
    TargetIsAddress, Error, "target-is-address", "SRV and NS records name a host; give the host an A or AAAA record with the address (RFC 2782)";
    /// An SRV owner that nobody asks for.
    SrvOwner, Error, "srv-owner", "write _service._protocol with both underscores, for SSP _imps-server._tcp (RFC 2782)";
    /// `.` beside other targets.
    SrvRootMixed, Error, "srv-root-mixed", "the target `.` says that there is no service and stands alone (RFC 2782)";
    /// Port 0.
    SrvPortZero, Error, "srv-port-zero", "name the port that the server listens on";
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Mistake {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}
