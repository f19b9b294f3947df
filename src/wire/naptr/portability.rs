//! Number portability data as it travels beside a number: the parameters of a tel: URI.
//!
//! RFC 4694 defines `rn`, `npdi`, `cic` and their contexts, RFC 4759 defines `enumdi`. Whether to believe them is the
//! caller's decision: only from trusted peers, otherwise they are ignored and the number is looked up again
//! (RFC 4694 §5).

use thiserror::Error;

/// The parameters that followed a number, `;name` or `;name=value` each.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct TelParams {
    /// `npdi`: the portability database was already asked, so it must not be asked again (RFC 4694 §5.1).
    pub npdi: bool,
    /// `enumdi`: ENUM was already asked, so it must not be asked again (RFC 4759 §3).
    pub enumdi: bool,
    /// `rn`: the number to route on when the subscriber's number was ported.
    pub rn: Option<ContextNumber>,
    /// `cic`: the carrier to hand the request to; goes before `rn`.
    pub cic: Option<ContextNumber>,
    /// Every other parameter, as it stood.
    pub other: Vec<String>,
}

/// A routing number or carrier code: global (`+` and a country code), or local with the context that makes it unique.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ContextNumber {
    /// Digits and hex digits without separators; `+` in front when global. Never to be turned into an ENUM name.
    pub number: String,
    /// The `rn-context` or `cic-context` of a local number: a domain, or a global prefix.
    pub context: Option<String>,
}

/// What a request is routed on (RFC 4694 §5.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RouteOn<'a> {
    /// `cic` is there: the carrier decides.
    Carrier(&'a ContextNumber),
    /// `rn` is there and no `cic`: the routing number decides.
    RoutingNumber(&'a ContextNumber),
    /// Neither: the number itself.
    Number,
}

/// Parameters that RFC 4694 does not allow.
#[derive(Clone, Debug, Eq, Error, Hash, PartialEq)]
pub enum TelParamsError {
    /// A parameter that may stand once stands twice (RFC 4694 §4).
    #[error("the parameter {0} stands more than once")]
    Repeated(&'static str),
    /// `npdi` or `enumdi` with a value, or a number without one or with other characters than hex digits.
    #[error("the parameter {name} has the value {value:?}, which its syntax does not allow")]
    Value {
        /// The parameter.
        name: &'static str,
        /// What stood after `=`.
        value: String,
    },
    /// A local `rn` or `cic` without the context that makes it unique.
    #[error("the parameter {0} is not global and has no context")]
    NoContext(&'static str),
}

impl TelParams {
    /// Reads what follows the number, from its first `;` on; empty text gives no parameters. Names are read in
    /// either case.
    ///
    /// # Errors
    /// [`TelParamsError`] for a repeated parameter or a value outside the syntax of RFC 4694 §4.
    pub fn parse(text: &str) -> Result<Self, TelParamsError> {
        let mut params = Self::default();
        let (mut rn, mut rn_context, mut cic, mut cic_context) = (None, None, None, None);
        for param in text.split(';').filter(|param| !param.is_empty()) {
            let (name, value) = match param.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (param, None),
            };
            match name.to_ascii_lowercase().as_str() {
                "npdi" => flag("npdi", value, &mut params.npdi)?,
                "enumdi" => flag("enumdi", value, &mut params.enumdi)?,
                "rn" => once("rn", value, &mut rn)?,
                "rn-context" => once("rn-context", value, &mut rn_context)?,
                "cic" => once("cic", value, &mut cic)?,
                "cic-context" => once("cic-context", value, &mut cic_context)?,
                _ => params.other.push(param.to_owned()),
            }
        }
        params.rn = rn
            .map(|number| ContextNumber::new("rn", &number, rn_context))
            .transpose()?;
        params.cic = cic
            .map(|number| ContextNumber::new("cic", &number, cic_context))
            .transpose()?;
        Ok(params)
    }

    /// Whether nothing followed the number.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What to route on: `cic`, then `rn`, then the number.
    pub fn route_on(&self) -> RouteOn<'_> {
        match (&self.cic, &self.rn) {
            (Some(cic), _) => RouteOn::Carrier(cic),
            (None, Some(rn)) => RouteOn::RoutingNumber(rn),
            (None, None) => RouteOn::Number,
        }
    }
}

impl ContextNumber {
    fn new(name: &'static str, text: &str, context: Option<String>) -> Result<Self, TelParamsError> {
        let refused = || TelParamsError::Value {
            name,
            value: text.to_owned(),
        };
        let number: String = text
            .chars()
            .filter(|character| !"-.()".contains(*character))
            .collect();
        let digits = number.strip_prefix('+').unwrap_or(&number);
        if digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            return Err(refused());
        }
        let global = digits.len() < number.len();
        if global
            && !digits
                .bytes()
                .next()
                .is_some_and(|octet| matches!(octet, b'1'..=b'9'))
        {
            return Err(refused());
        }
        if !global && context.is_none() {
            return Err(TelParamsError::NoContext(name));
        }
        Ok(Self {
            number,
            context: if global { None } else { context },
        })
    }
}

fn flag(name: &'static str, value: Option<&str>, slot: &mut bool) -> Result<(), TelParamsError> {
    if let Some(value) = value {
        return Err(TelParamsError::Value {
            name,
            value: value.to_owned(),
        });
    }
    if std::mem::replace(slot, true) {
        return Err(TelParamsError::Repeated(name));
    }
    Ok(())
}

fn once(name: &'static str, value: Option<&str>, slot: &mut Option<String>) -> Result<(), TelParamsError> {
    let value = value.unwrap_or_default();
    if value.is_empty() {
        return Err(TelParamsError::Value {
            name,
            value: String::new(),
        });
    }
    match slot.replace(value.to_owned()) {
        Some(_) => Err(TelParamsError::Repeated(name)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ported_number_is_routed_on_rn() {
        let params = TelParams::parse(";npdi;rn=+1-215-555-0199;x=y").unwrap();
        assert!(params.npdi && !params.enumdi);
        assert_eq!(params.other, ["x=y"]);
        let rn = ContextNumber {
            number: "+12155550199".into(),
            context: None,
        };
        assert_eq!(params.route_on(), RouteOn::RoutingNumber(&rn));
    }

    #[test]
    fn carrier_goes_before_rn_and_hex_digits_are_allowed() {
        let params = TelParams::parse(";RN=C0DE;rn-context=+44;cic=+16789").unwrap();
        assert_eq!(params.rn.as_ref().unwrap().context.as_deref(), Some("+44"));
        assert!(matches!(params.route_on(), RouteOn::Carrier(cic) if cic.number == "+16789"));
        assert_eq!(TelParams::parse(";enumdi").unwrap().route_on(), RouteOn::Number);
    }

    #[test]
    fn repeated_and_malformed_parameters_are_refused() {
        assert_eq!(
            TelParams::parse(";npdi;npdi"),
            Err(TelParamsError::Repeated("npdi"))
        );
        assert_eq!(
            TelParams::parse(";rn=+1;rn=+2"),
            Err(TelParamsError::Repeated("rn"))
        );
        assert_eq!(TelParams::parse(";rn=215"), Err(TelParamsError::NoContext("rn")));
        for broken in [
            ";npdi=yes",
            ";rn",
            ";rn=",
            ";rn=+",
            ";rn=+0215",
            ";rn=+12x",
            ";cic=+",
        ] {
            assert!(
                matches!(TelParams::parse(broken), Err(TelParamsError::Value { .. })),
                "{broken}"
            );
        }
    }
}
