//! Names and descriptions that Keycloak's columns have room for: it answers 500 to others.

use dcr_connector::model::{Adjustment, ClientName, Description, Field, Sentence};

/// The room in UTF-16 code units: so many characters, where Java or a database of its kind counts those beyond U+FFFF
/// twice.
const ROOM: usize = 255;

/// The text, cut at a character where there is no room for more.
pub(crate) fn fitting(text: &str) -> &str {
    let mut units = 0;
    let beyond = text.char_indices().find(|(_, character)| {
        units += character.len_utf16();
        units > ROOM
    });
    let end = beyond.map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or_default()
}

/// What was cut.
pub(crate) fn adjustments(
    name: Option<&ClientName>,
    description: Option<&Description>,
) -> Vec<Adjustment> {
    let texts = [
        (Field::Name, name.map(ClientName::as_str)),
        (Field::Description, description.map(Description::as_str)),
    ];
    let cut = |(field, text): (Field, Option<&str>)| {
        let text = text?;
        (fitting(text).len() < text.len()).then(|| Adjustment {
            field,
            sentence: Sentence::new(
                "Cut to what Keycloak has room for: 255 characters, of which emoji and rare scripts take two.",
            ),
        })
    };
    texts.into_iter().filter_map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character_and_that_is_told() {
        for (text, kept) in [("ß".repeat(255), 255), ("🚢".repeat(255), 127)] {
            let cut = fitting(&text);
            assert!(text.starts_with(cut));
            assert_eq!(cut.chars().count(), kept);
            let name = ClientName::parse(&text).unwrap();
            let told = adjustments(Some(&name), None);
            assert_eq!(told.len(), usize::from(kept < 255));
        }
    }
}
