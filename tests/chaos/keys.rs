//! The API keys of the providers, which are rotated while all goes on.

use dcr_tests::bridge::random;
use dcr_tests::{Folder, Provider};

use crate::journal::SECRET;

/// The providers with every key that they ever had, the oldest first.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) providers: Vec<Provider>,
    /// Which of them Konnect uses.
    pub(crate) current: usize,
    /// The last one that each gateway knows.
    pub(crate) known: [usize; 2],
}

impl Keys {
    pub(crate) fn new(mut providers: Vec<Provider>) -> Self {
        for provider in &mut providers {
            provider.keys = vec![(key(), None)];
        }
        Self {
            providers,
            current: 0,
            known: [0, 0],
        }
    }

    /// The key of a provider that Konnect uses now.
    pub(crate) fn current(&self, provider: usize) -> &str {
        &self.providers[provider].keys[self.current].0
    }

    /// Konnect goes over to the next key when every gateway knows it; a gateway is given another, which it knows once it
    /// has read its files. The number of that one.
    pub(crate) fn rotate(&mut self, folder: &Folder, gateway: usize) -> usize {
        if self.known.iter().all(|known| *known > self.current) {
            self.current += 1;
        }
        let next = self.current + 1;
        for provider in &mut self.providers {
            if provider.keys.len() <= next {
                provider.keys.push((key(), None));
            }
            // The last one may still be on its way.
            let keys = provider.keys[self.current.saturating_sub(1)..=next].to_vec();
            let file = format!("gateway-{gateway}/providers.d/{}.yaml", provider.id);
            let records = folder.path().join(format!("gateway-{gateway}/records"));
            let limits = format!(
                "{}record: {{directory: {}}}\n",
                provider.limits,
                records.display()
            );
            let known = Provider {
                keys,
                limits,
                ..provider.clone()
            };
            let _ = folder.write(&file, &known.yaml());
        }
        next
    }
}

/// Begins as every secret of this suite does.
fn key() -> String {
    format!("{SECRET}{}", random())
}
