//! Rules about the sources themselves: who may use whom, what the inner rooms must not know, generated pages current.

#[cfg(test)]
mod arrows;
#[cfg(test)]
mod cli_page;
#[cfg(test)]
mod named;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod program;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod sources;
