//! One record for each chargeable event.
