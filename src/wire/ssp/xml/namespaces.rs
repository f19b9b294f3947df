//! The rules of namespaces, for documents that are read without them.
//!
//! Names are matched by their local part alone; a document must still declare what it uses, so that every other reader
//! takes it as we do. Source: Namespaces in XML 1.0 §3, §5, §6.3.

use super::tree::Attribute;

/// Whether an element's prefix and attributes are lawful; `scopes` holds its attributes and those of its ancestors,
/// innermost first. The error is the rule that is broken.
pub(super) fn check<'s, 'a: 's>(
    prefix: Option<&str>,
    scopes: impl Iterator<Item = &'s [Attribute<'a>]> + Clone,
) -> Result<(), &'static str> {
    let own = scopes.clone().next().unwrap_or_default();
    if !own.iter().all(is_lawful_declaration) {
        return Err("a namespace declaration that is not allowed");
    }
    if prefix == Some("xmlns") || prefix.is_some_and(|prefix| namespace(prefix, scopes.clone()).is_none()) {
        return Err("an element with an undeclared prefix");
    }
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for attribute in own {
        let Some((prefix, local)) = attribute.name.split_once(':') else {
            continue;
        };
        if prefix == "xmlns" {
            continue;
        }
        let namespace = namespace(prefix, scopes.clone()).ok_or("an attribute with an undeclared prefix")?;
        if seen.contains(&(namespace, local)) {
            return Err("an attribute is there twice");
        }
        seen.push((namespace, local));
    }
    Ok(())
}

fn namespace<'s, 'a: 's>(prefix: &str, scopes: impl Iterator<Item = &'s [Attribute<'a>]>) -> Option<&'s str> {
    if prefix == "xml" {
        return Some(XML);
    }
    let mut declarations = scopes.flatten();
    let found = declarations.find(|attribute| attribute.name.strip_prefix("xmlns:") == Some(prefix));
    found.map(|attribute| &*attribute.value)
}

fn is_lawful_declaration(attribute: &Attribute<'_>) -> bool {
    let namespace = &*attribute.value;
    match (attribute.name, attribute.name.strip_prefix("xmlns:")) {
        (_, Some("xml")) => namespace == XML,
        (_, Some("xmlns")) => false,
        (_, Some(_)) => !matches!(namespace, "" | XML | XMLNS),
        ("xmlns", None) => !matches!(namespace, XML | XMLNS),
        (_, None) => true,
    }
}

const XML: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
