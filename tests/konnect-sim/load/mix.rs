//! Which calls a load is made of.

use std::str::FromStr;

/// A kind of call that a connection chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Create,
    Delete,
    Rotate,
    List,
    Update,
    Register,
    Secret,
}

impl Kind {
    const ALL: [(&'static str, Self); 7] = [
        ("create", Self::Create),
        ("delete", Self::Delete),
        ("rotate", Self::Rotate),
        ("list", Self::List),
        ("update", Self::Update),
        ("register", Self::Register),
        ("secret", Self::Secret),
    ];
}

/// How often each kind is chosen, relative to the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mix(Vec<(Kind, u32)>);

impl Mix {
    /// One kind, by chance.
    pub(crate) fn choose(&self) -> Kind {
        let all = self.0.iter().map(|(_, weight)| weight).sum::<u32>();
        let mut place = fastrand::u32(..all.max(1));
        for (kind, weight) in &self.0 {
            match place.checked_sub(*weight) {
                Some(rest) => place = rest,
                None => return *kind,
            }
        }
        Kind::Create
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut mix: Vec<(Kind, u32)> = Vec::new();
        for part in text.split(',') {
            let (name, weight) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?} must be KIND=N"))?;
            let known = Kind::ALL.iter().find(|(known, _)| *known == name);
            let (_, kind) = known.ok_or_else(|| {
                let names = Kind::ALL.map(|(name, _)| name).join(", ");
                format!("{name:?} is none of {names}")
            })?;
            let weight: u16 = weight.parse().map_err(|e| format!("{part:?}: {e}"))?;
            if mix.iter().any(|(known, _)| known == kind) {
                return Err(format!("{name} is there twice"));
            }
            mix.push((*kind, weight.into()));
        }
        if mix.iter().all(|(_, weight)| *weight == 0) {
            return Err("no kind of call is left".to_owned());
        }
        Ok(Self(mix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_weight_is_chosen() {
        let mix: Mix = "create=0,list=3".parse().unwrap();
        assert!((0..100).all(|_| mix.choose() == Kind::List));
        let both: Mix = "create=1,list=1".parse().unwrap();
        let chosen: Vec<_> = (0..200).map(|_| both.choose()).collect();
        assert!(chosen.contains(&Kind::Create) && chosen.contains(&Kind::List));
    }

    #[test]
    fn what_is_no_mix_is_refused() {
        for text in [
            "",
            "create",
            "create=x",
            "nothing=1",
            "list=0",
            "list=1,list=1",
        ] {
            assert!(text.parse::<Mix>().is_err(), "{text}");
        }
    }
}
