//! The names of taken-over users: who keeps which name, and by which keys each is found.
//!
//! Decided from what the PHP chat wrote, in memory and for all users at once: the oldest of those with one name
//! keeps it. Of every name three hashes are kept while it is decided, 24 bytes for a user; only of names that are
//! like others is more.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use chat_core::id::UserId;
use chat_core::limits::hard;
use chat_core::port::UsernameKeys;
use chat_core::time::Timestamp;
use mongodb::bson::Bson;

use crate::migrate_php::report::{FindingKind, shown};
use crate::migrate_php::rows::value::{Id, last_digits, text_of};
use crate::table::accounts::DISPLACED;

/// Digits of its id that a name gets behind it, at least.
const DIGITS: usize = 6;
/// Digits of an id.
const ALL_DIGITS: usize = 24;
/// What users without a name are called, before the digits.
const NAMELESS: &str = "user";

/// The keys of a name by today's rules; `None` for a name that is not allowed.
#[derive(Clone)]
pub struct NameRule(Arc<Rule>);

type Rule = dyn Fn(&str) -> Option<UsernameKeys> + Send + Sync;

impl NameRule {
    /// A rule. It must answer the same for the same name.
    pub fn new(rule: impl Fn(&str) -> Option<UsernameKeys> + Send + Sync + 'static) -> Self {
        Self(Arc::new(rule))
    }

    fn keys(&self, name: &str) -> Option<UsernameKeys> {
        (self.0)(name)
    }
}

impl fmt::Debug for NameRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameRule(…)")
    }
}

/// What a user is called from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) username: String,
    pub(crate) folded: String,
    pub(crate) skeleton: String,
    /// What is worth telling.
    pub(crate) notes: Vec<(FindingKind, String)>,
}

/// The key of a name that another account has the keys of.
fn displaced_key(username: &str) -> String {
    format!("{DISPLACED}{username}")
}

/// A name that the PHP chat wrote, if somebody can type it.
pub(crate) fn usable(name: Option<&Bson>) -> Option<Cow<'_, str>> {
    name.and_then(text_of).filter(|name| !name.is_empty() && name.len() <= hard::USERNAME_BYTES)
}

/// Hashes of all names, of what they fold to, and of what they look like.
#[derive(Debug)]
pub(crate) struct NameHashes {
    rule: NameRule,
    exact: Vec<u64>,
    folded: Vec<u64>,
    skeletons: Vec<u64>,
}

impl NameHashes {
    pub(crate) fn new(rule: NameRule) -> Self {
        Self { rule, exact: Vec::new(), folded: Vec::new(), skeletons: Vec::new() }
    }

    /// Counts a user's name.
    pub(crate) fn add(&mut self, name: Option<&str>) {
        let Some(name) = name else { return };
        self.exact.push(hash(name));
        if let Some(keys) = self.rule.keys(name) {
            self.folded.push(hash(&keys.folded));
            self.skeletons.push(hash(&keys.skeleton));
        }
    }

    /// All names have been added.
    pub(crate) fn complete(mut self) -> NameClashes {
        let [exact, folded, skeletons] =
            [&mut self.exact, &mut self.folded, &mut self.skeletons].map(|hashes| {
                hashes.sort_unstable();
                let twice = hashes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
                twice.collect::<HashSet<u64>>()
            });
        NameClashes { exact, folded, skeletons, all: self, clashing: Vec::new() }
    }
}

/// A user whose name is like another's, or missing.
#[derive(Debug)]
struct Clashing {
    id: Id,
    created_at: Timestamp,
    name: Option<String>,
}

/// Which names are like others.
#[derive(Debug)]
pub(crate) struct NameClashes {
    exact: HashSet<u64>,
    folded: HashSet<u64>,
    skeletons: HashSet<u64>,
    all: NameHashes,
    clashing: Vec<Clashing>,
}

impl NameClashes {
    /// Looks at a user again, and remembers the ones that something has to be decided for.
    pub(crate) fn add(&mut self, id: Id, created_at: Timestamp, name: Option<&str>) {
        let clashes = name.is_none_or(|name| {
            self.exact.contains(&hash(name))
                || self.all.rule.keys(name).is_some_and(|keys| {
                    self.folded.contains(&hash(&keys.folded))
                        || self.skeletons.contains(&hash(&keys.skeleton))
                })
        });
        if clashes {
            self.clashing.push(Clashing { id, created_at, name: name.map(str::to_owned) });
        }
    }

    /// Decides, the oldest first.
    pub(crate) fn decide(mut self) -> Names {
        let mut clashing = std::mem::take(&mut self.clashing);
        clashing.sort_unstable_by_key(|user| (user.created_at, user.id));
        let mut taken = Taken::of(&self.all);
        let decided = clashing.into_iter().map(|user| (user.id, taken.name(user))).collect();
        Names { rule: self.all.rule, decided }
    }
}

/// What older users among those who clash have.
struct Taken<'a> {
    all: &'a NameHashes,
    exact: HashSet<String>,
    folded: HashSet<String>,
    skeletons: HashSet<String>,
}

impl<'a> Taken<'a> {
    fn of(all: &'a NameHashes) -> Self {
        Self { all, exact: HashSet::new(), folded: HashSet::new(), skeletons: HashSet::new() }
    }

    fn name(&mut self, user: Clashing) -> Named {
        let mut notes = Vec::new();
        let kept = user.name.as_ref().filter(|name| !self.exact.contains(*name)).cloned();
        let is_renamed = kept.is_none();
        let username = kept.unwrap_or_else(|| {
            let (kind, base) = match &user.name {
                Some(name) => (FindingKind::UsernameDuplicate, name.as_str()),
                None => (FindingKind::UsernameMissing, NAMELESS),
            };
            let renamed = self.free_name(user.id, base);
            let text = match kind {
                FindingKind::UsernameMissing => {
                    format!("has no name that can be typed; is called {} now", shown(&renamed))
                }
                _ => {
                    format!("an older user is called {}, too; is called {} now", shown(base), shown(&renamed))
                }
            };
            notes.push((kind, text));
            renamed
        });
        self.exact.insert(username.clone());
        let Some(keys) = self.all.rule.keys(&username) else { return not_allowed(username, notes) };

        // A new name has not been counted, so it must not clash with any.
        let is_counted = |hashes: &[u64], key: &str| is_renamed && contains(hashes, key);
        let folds_alike =
            is_counted(&self.all.folded, &keys.folded) || !self.folded.insert(keys.folded.clone());
        let looks_alike =
            is_counted(&self.all.skeletons, &keys.skeleton) || !self.skeletons.insert(keys.skeleton.clone());
        if folds_alike {
            let text = "differs from the name of an older user in case, width or composition only; found by its exact text only";
            notes.push((FindingKind::UsernameFoldsAlike, format!("{} {text}", shown(&username))));
        } else if looks_alike {
            let text = "looks like the name of an older user";
            notes.push((FindingKind::UsernameLooksAlike, format!("{} {text}", shown(&username))));
        }
        let displaced = displaced_key(&username);
        let folded = if folds_alike { displaced.clone() } else { keys.folded };
        let skeleton = if looks_alike { displaced } else { keys.skeleton };
        Named { username, folded, skeleton, notes }
    }

    /// `base` with as many digits of the id behind it as it takes to be nobody's name.
    fn free_name(&self, id: Id, base: &str) -> String {
        let base = cut(base, hard::USERNAME_BYTES - 2 * ALL_DIGITS);
        let with_digits = (DIGITS..=ALL_DIGITS).map(|count| format!("{base}-{}", last_digits(id, count)));
        // Nobody has such names by chance; who has them on purpose has only so many.
        let with_more = (2_u64..).map(|count| format!("{base}-{}-{count}", last_digits(id, ALL_DIGITS)));
        let is_free = |name: &String| !contains(&self.all.exact, name) && !self.exact.contains(name);
        with_digits.chain(with_more).find(is_free).unwrap_or_else(|| base.to_owned())
    }
}

/// What every user is called.
#[derive(Debug)]
pub(crate) struct Names {
    rule: NameRule,
    decided: HashMap<Id, Named>,
}

impl Names {
    /// What the user with this id and name is called.
    pub(crate) fn of(&self, id: Id, name: Option<&str>) -> Named {
        if let Some(decided) = self.decided.get(&id) {
            return decided.clone();
        }
        let name = name.unwrap_or(NAMELESS).to_owned();
        match self.rule.keys(&name) {
            Some(UsernameKeys { folded, skeleton, .. }) => {
                Named { username: name, folded, skeleton, notes: Vec::new() }
            }
            None => not_allowed(name, Vec::new()),
        }
    }
}

fn not_allowed(username: String, mut notes: Vec<(FindingKind, String)>) -> Named {
    let text = "is no name that could be registered today; found by its exact text only";
    notes.push((FindingKind::UsernameNotAllowed, format!("{} {text}", shown(&username))));
    let displaced = displaced_key(&username);
    Named { username, folded: displaced.clone(), skeleton: displaced, notes }
}

/// The beginning of a text, of at most so many bytes.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Nobody finds two names with one hash.
fn hash(name: &str) -> u64 {
    let digest = *UserId::from_external("username", name).as_bytes();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

fn contains(hashes: &[u64], name: &str) -> bool {
    hashes.binary_search(&hash(name)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lower case folds, `1` looks like `l`, and a space is not allowed.
    fn rule() -> NameRule {
        NameRule::new(|name| {
            let folded = name.to_lowercase();
            let skeleton = folded.replace('1', "l");
            (!name.contains(' ')).then(|| UsernameKeys { text: name.to_owned(), folded, skeleton })
        })
    }

    fn id(number: u8) -> Id {
        let mut id = [0; 12];
        id[11] = number;
        id
    }

    /// What users are called who were made at these times with these names; the position is the last byte of the id.
    fn decided(users: &[(i64, Option<&str>)]) -> Vec<Named> {
        let users: Vec<(Id, i64, Option<&str>)> =
            (1..).zip(users).map(|(number, (created_at, name))| (id(number), *created_at, *name)).collect();
        let mut hashes = NameHashes::new(rule());
        users.iter().for_each(|(.., name)| hashes.add(*name));
        let mut clashes = hashes.complete();
        for (id, created_at, name) in &users {
            clashes.add(*id, Timestamp::from_unix_ms(*created_at), *name);
        }
        let names = clashes.decide();
        let named: Vec<Named> = users.iter().map(|(id, _, name)| names.of(*id, *name)).collect();
        for keys in [
            named.iter().map(|named| &named.username).collect::<Vec<_>>(),
            named.iter().map(|named| &named.folded).collect(),
            named.iter().map(|named| &named.skeleton).collect(),
        ] {
            assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len(), "{keys:?}");
        }
        named
    }

    fn kinds(named: &Named) -> Vec<FindingKind> {
        named.notes.iter().map(|(kind, _)| *kind).collect()
    }

    #[test]
    fn names_that_nobody_else_has_stay() {
        for named in decided(&[(1, Some("ann")), (2, Some("Ben"))]) {
            assert_eq!(named.folded, named.username.to_lowercase());
            assert!(kinds(&named).is_empty());
        }
    }

    #[test]
    fn the_oldest_keeps_a_name_and_others_get_digits_of_their_id() {
        let named = decided(&[(30, Some("bob")), (10, Some("bob")), (10, Some("bob"))]);
        let names: Vec<&str> = named.iter().map(|named| named.username.as_str()).collect();
        assert_eq!(names, ["bob-000001", "bob", "bob-000003"]);
        assert_eq!(named[1].folded, "bob");
        assert_eq!(kinds(&named[0]), [FindingKind::UsernameDuplicate]);
    }

    #[test]
    fn a_longer_name_that_somebody_has_is_not_given() {
        let named =
            decided(&[(1, Some("bob")), (2, Some("bob")), (3, Some("bob-000002")), (0, Some("BOB-0000002"))]);
        assert_eq!(named[1].username, "bob-0000002");
        // It differs from another one in case only.
        assert_eq!(named[1].folded, "\u{1}bob-0000002");
        assert_eq!(kinds(&named[1]), [FindingKind::UsernameDuplicate, FindingKind::UsernameFoldsAlike]);
        assert_eq!(named[2].username, "bob-000002");
    }

    #[test]
    fn names_that_differ_in_case_only_stay_and_the_oldest_is_found_by_both() {
        let named = decided(&[(2, Some("Alice")), (1, Some("aLICE")), (3, Some("alice"))]);
        assert_eq!(named[1].folded, "alice");
        for at in [0, 2] {
            let displaced = format!("\u{1}{}", named[at].username);
            assert_eq!((&named[at].folded, &named[at].skeleton), (&displaced, &displaced));
            assert_eq!(kinds(&named[at]), [FindingKind::UsernameFoldsAlike]);
        }
    }

    #[test]
    fn names_that_look_alike_stay_and_fold_as_they_do() {
        let named = decided(&[(1, Some("paypal")), (2, Some("paypa1"))]);
        assert_eq!(named[1].folded, "paypa1");
        assert_eq!(named[1].skeleton, "\u{1}paypa1");
        assert_eq!(kinds(&named[1]), [FindingKind::UsernameLooksAlike]);
    }

    #[test]
    fn names_that_are_not_allowed_stay_and_are_told() {
        let named = decided(&[(1, Some("ann lee")), (2, Some("ann lee"))]);
        assert_eq!((named[0].username.as_str(), named[0].folded.as_str()), ("ann lee", "\u{1}ann lee"));
        assert_eq!(kinds(&named[0]), [FindingKind::UsernameNotAllowed]);
        assert_eq!(named[1].username, "ann lee-000002");
    }

    #[test]
    fn users_without_a_name_get_one() {
        let named = decided(&[(1, None), (2, Some("user-000001")), (3, None)]);
        assert_eq!(named[0].username, "user-0000001");
        assert_eq!(named[2].username, "user-000003");
        assert_eq!(kinds(&named[2]), [FindingKind::UsernameMissing]);
        for unusable in
            [Bson::Null, Bson::Boolean(true), Bson::String(String::new()), Bson::String("x".repeat(513))]
        {
            assert_eq!(usable(Some(&unusable)), None);
        }
    }
}
