//! A change to a row that can be made any number of times, and keeps what it replaces.
//!
//! What a field held before goes to a field of the same name with `_before`, once. Whoever computes a change looks
//! there first, so that a row that was changed already gets the same change again.

use mongodb::bson::{Bson, Document, doc};

/// The end of the names of fields that hold what was before.
pub(crate) const BEFORE: &str = "_before";

/// The value that the PHP chat wrote to a field.
pub(crate) fn original<'a>(row: &'a Document, field: &str) -> Option<&'a Bson> {
    match row.get(before(field)) {
        None => row.get(field),
        value => value,
    }
}

/// The value of a field, unless it says that there is none: null or an empty text.
pub(crate) fn given<'a>(row: &'a Document, field: &str) -> Option<&'a Bson> {
    match row.get(field) {
        None | Some(Bson::Null | Bson::Undefined) => None,
        Some(Bson::String(text)) if text.is_empty() => None,
        value => value,
    }
}

/// As [`original`], unless it says that there is none.
pub(crate) fn original_given<'a>(row: &'a Document, field: &str) -> Option<&'a Bson> {
    let kept = before(field);
    let field = if row.contains_key(&kept) { kept.as_str() } else { field };
    given(row, field)
}

/// The name of the field that keeps the value of this one.
pub(crate) fn before(field: &str) -> String {
    format!("{field}{BEFORE}")
}

/// The fields that computing a change reads: these, and what they held before.
pub(crate) fn projection(fields: &[&str]) -> Document {
    fields
        .iter()
        .flat_map(|field| [(*field).to_owned(), before(field)])
        .map(|field| (field, Bson::Int32(1)))
        .collect()
}

/// What is to be changed in a row.
#[derive(Debug)]
pub(crate) struct Change<'r> {
    row: &'r Document,
    /// Whether the row was migrated before: then fields with our names are ours.
    is_ours: bool,
    set: Document,
    unset: Document,
}

impl<'r> Change<'r> {
    /// Changes a row that was migrated before, or that the PHP chat wrote.
    pub(crate) fn of(row: &'r Document, is_ours: bool) -> Self {
        Self { row, is_ours, set: Document::new(), unset: Document::new() }
    }

    /// Sets a field of ours. If the PHP chat has one of this name, it is kept as any other.
    pub(crate) fn put(&mut self, field: &str, value: impl Into<Bson>) {
        let value = value.into();
        match self.row.get(field) {
            Some(old) if *old == value => return,
            Some(old) if !self.is_ours => self.keep(field, old.clone()),
            _ => {}
        }
        self.set.insert(field, value);
    }

    /// Sets a field of the PHP chat; another value that it had is kept. That it had none is kept as null.
    pub(crate) fn set(&mut self, field: &str, value: impl Into<Bson>) {
        let value = value.into();
        let old = self.row.get(field).cloned().unwrap_or(Bson::Null);
        if old != value {
            self.keep(field, old);
        }
        if self.row.get(field) != Some(&value) {
            self.set.insert(field, value);
        }
    }

    /// Puts a field aside that would be misunderstood.
    pub(crate) fn remove(&mut self, field: &str) {
        if let Some(old) = self.row.get(field) {
            self.keep(field, old.clone());
            self.unset.insert(field, "");
        }
    }

    /// Removes a field of ours, which is of an earlier attempt.
    pub(crate) fn clear(&mut self, field: &str) {
        if !self.is_ours {
            self.remove(field);
        } else if self.row.contains_key(field) {
            self.unset.insert(field, "");
        }
    }

    fn keep(&mut self, field: &str, old: Bson) {
        let kept = before(field);
        if !self.row.contains_key(&kept) {
            self.set.insert(kept, old);
        }
    }

    /// The statement of an `update` command; `None` if the row is as it should be.
    pub(crate) fn statement(self) -> Option<Document> {
        let mut update = Document::new();
        for (operator, fields) in [("$set", self.set), ("$unset", self.unset)] {
            if !fields.is_empty() {
                update.insert(operator, fields);
            }
        }
        let id = self.row.get("_id").cloned().unwrap_or(Bson::Null);
        (!update.is_empty()).then(|| doc! { "q": { "_id": id }, "u": update })
    }

    /// The row as it is after this.
    #[cfg(test)]
    pub(crate) fn applied(self) -> Document {
        let mut row = self.row.clone();
        self.unset.keys().for_each(|field| drop(row.remove(field)));
        row.extend(self.set);
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(row: &Document) -> Document {
        let mut change = Change::of(row, row.contains_key("seq"));
        let name = original(row, "name").and_then(Bson::as_str).unwrap_or("nobody").to_uppercase();
        change.set("name", name);
        change.put("seq", 7_i64);
        change.remove("event");
        change.applied()
    }

    #[test]
    fn what_is_replaced_is_kept_and_a_second_time_changes_nothing() {
        let row = doc! { "_id": 1, "name": "ann", "event": true };
        let once = changed(&row);
        assert_eq!(
            once,
            doc! { "_id": 1, "name": "ANN", "name_before": "ann", "event_before": true, "seq": 7_i64 }
        );
        assert_eq!(changed(&once), once);
        assert_eq!(Change::of(&once, true).statement(), None);
    }

    #[test]
    fn a_field_that_is_right_stays_without_a_trace() {
        let row = doc! { "_id": 1, "name": "ANN" };
        assert_eq!(changed(&row), doc! { "_id": 1, "name": "ANN", "seq": 7_i64 });
    }

    #[test]
    fn that_there_was_nothing_is_kept_too() {
        let row = doc! { "_id": 1 };
        let once = changed(&row);
        assert_eq!(once, doc! { "_id": 1, "name_before": null, "name": "NOBODY", "seq": 7_i64 });
        assert_eq!(changed(&once), once);
    }

    #[test]
    fn a_field_of_the_php_chat_that_has_our_name_is_kept() {
        let row = doc! { "_id": 1, "name": "ANN", "seq": "x" };
        let mut change = Change::of(&row, false);
        change.put("seq", 7_i64);
        change.clear("name");
        let once = change.applied();
        assert_eq!(once, doc! { "_id": 1, "seq": 7_i64, "seq_before": "x", "name_before": "ANN" });
        let mut change = Change::of(&once, true);
        change.put("seq", 8_i64);
        assert_eq!(change.applied().get_str("seq_before").ok(), Some("x"));
    }
}
