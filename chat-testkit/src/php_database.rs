//! Databases as a chat system written in PHP leaves them: `users`, `chat_rooms`, `private_chats` and `messages`, with
//! everything that it never checked. For tests of taking such a database over, and for trying it out.
//!
//! ```no_run
//! # async fn example(database: mongodb::Database) -> mongodb::error::Result<()> {
//! use chat_testkit::php_database::{PhpDatabase, password};
//!
//! PhpDatabase { users: 200, rooms: 20, messages: 10_000, seed: 7 }.write(&database).await?;
//! // The first users have no flaw: they are called user0, user1, … and sign in with this.
//! println!("user0 {}", password(0));
//! # Ok(())
//! # }
//! ```
//!
//! The same numbers make the same rows. Flaws come as often as chance has it, about one row in fifty; a database
//! with some hundred users and some thousand messages has all of them.

use mongodb::Database;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, doc};

/// Rows that are inserted at once.
const ROWS: usize = 1_000;
/// Users without a flaw, at the beginning.
const PLAIN_USERS: u64 = 4;
/// Different passwords: hashing takes time.
const PASSWORDS: u64 = 8;
/// What hashing costs; systems in use have at least 10.
const COST: u32 = 4;
/// When the first user was registered: 2021-11-21.
const BEGIN_S: i64 = 1_637_452_800;
/// How long the system ran: two years.
const SPAN_S: u64 = 63_072_000;
/// Users who are gone, while rows still name them.
const GONE: u64 = 5;

/// How much there is of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhpDatabase {
    /// Users, at least four.
    pub users: u64,
    /// Rooms, at least two. There are five times as many private chats.
    pub rooms: u64,
    /// Messages.
    pub messages: u64,
    /// Other numbers make other rows.
    pub seed: u64,
}

/// The password of a user, by the user's place in the order of registration.
#[must_use]
pub fn password(user: u64) -> String {
    format!("correct horse {}", user % PASSWORDS)
}

/// Its hash, as PHP writes it.
fn password_hash(user: u64) -> String {
    let salt = [u8::try_from(user % PASSWORDS).unwrap_or_default(); 16];
    let parts = bcrypt::hash_with_salt(password(user), COST, salt).expect("the cost is one that is allowed");
    parts.format_for_version(bcrypt::Version::TwoY)
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// Below `bound`, small numbers far more often: few rooms have most of the messages.
    fn rather_small(&mut self, bound: u64) -> u64 {
        let width = self.below(bound) + 1;
        self.below(width)
    }
}

/// Collections that a row can be of; the ids of different ones differ.
#[derive(Debug, Clone, Copy)]
enum Kind {
    User = 1,
    Room = 2,
    Chat = 3,
    Message = 4,
}

impl PhpDatabase {
    /// Writes everything, and the indexes that such a system has.
    ///
    /// # Errors
    /// Those of the driver.
    pub async fn write(&self, database: &Database) -> mongodb::error::Result<()> {
        let hashes: Vec<String> = (0..PASSWORDS).map(password_hash).collect();
        insert(database, "users", (0..self.users).map(|number| self.user(number, &hashes))).await?;
        insert(database, "chat_rooms", (0..self.rooms).map(|number| self.room(number))).await?;
        insert(database, "private_chats", (0..self.chats()).map(|number| self.chat(number))).await?;
        insert(database, "messages", (0..self.messages).map(|number| self.message(number))).await?;
        for (collection, key, name) in [
            ("users", doc! { "username": 1 }, "username_1"),
            ("messages", doc! { "room_id": 1, "timestamp": -1 }, "room_id_1_timestamp_-1"),
        ] {
            let indexes = [doc! { "key": key, "name": name }];
            database.run_command(doc! { "createIndexes": collection, "indexes": indexes.as_slice() }).await?;
        }
        Ok(())
    }

    fn chats(&self) -> u64 {
        self.rooms * 5
    }

    fn random(&self, kind: Kind, number: u64) -> Random {
        let mut random =
            Random(self.seed ^ ((kind as u64) << 56) ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        random.next();
        random
    }

    /// Seconds since 1970 at which a row was made: later ones later, all over the time that the system ran.
    fn made_at(kind: Kind, number: u64, of: u64) -> i64 {
        let begins = match kind {
            Kind::User => 0,
            Kind::Room | Kind::Chat | Kind::Message => SPAN_S / 4,
        };
        let at = begins + (SPAN_S - begins) * number / of.max(1);
        BEGIN_S + i64::try_from(at).unwrap_or_default()
    }

    fn id(&self, kind: Kind, number: u64) -> ObjectId {
        let of = match kind {
            Kind::User => self.users,
            Kind::Room => self.rooms,
            Kind::Chat => self.chats(),
            Kind::Message => self.messages,
        };
        let seconds = u32::try_from(Self::made_at(kind, number, of)).unwrap_or_default();
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&seconds.to_be_bytes());
        bytes[4] = kind as u8;
        bytes[5..8].copy_from_slice(&self.seed.to_be_bytes()[5..]);
        bytes[8..].copy_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
        ObjectId::from_bytes(bytes)
    }

    /// The id of a user as a row names it: sometimes as a text, and sometimes the user is gone.
    fn named_user(&self, number: u64, random: &mut Random) -> Bson {
        match random.below(60) {
            0 => Bson::String(self.id(Kind::User, number).to_hex()),
            _ => Bson::ObjectId(self.id(Kind::User, number)),
        }
    }

    fn gone_user(&self, random: &mut Random) -> Bson {
        Bson::ObjectId(self.id(Kind::User, self.users + random.below(GONE)))
    }

    fn user(&self, number: u64, hashes: &[String]) -> Document {
        let mut random = self.random(Kind::User, number);
        let made_at = Self::made_at(Kind::User, number, self.users);
        let mut row = doc! {
            "_id": self.id(Kind::User, number),
            "username": format!("user{number}"),
            "password": hashes[(number % PASSWORDS) as usize].as_str(),
            "email": format!("user{number}@example.org"),
            "created_at": date(made_at),
            "last_login": date(made_at + 3_600),
            "status": "offline",
            "token": format!("{:016x}{:016x}", random.next(), random.next()),
        };
        if number < PLAIN_USERS {
            return row;
        }
        let other = random.below(number);
        match random.below(300) {
            // Two registrations at the same moment.
            0 | 1 => drop(row.insert("username", format!("user{other}"))),
            2 => drop(row.insert("username", format!("User{other}"))),
            // Look like others: a small L for the digit one, Cyrillic for Latin.
            3 => drop(row.insert("username", format!("user{}l", other / 10))),
            4 => drop(row.insert("username", format!("u\u{455}er{other}"))),
            5 => drop(row.insert("username", format!("user {number}"))),
            6 => drop(row.insert("username", "管理员")),
            7 => drop(row.insert("username", format!("张三{number}"))),
            8 => drop(row.insert("username", "")),
            9 => drop(row.remove("username")),
            10 => drop(row.insert("username", format!("{number}\u{202E}\0{}", "long".repeat(30)))),
            11 => drop(row.remove("password")),
            12 => drop(row.insert("password", "5f4dcc3b5aa765d61d8327deb882cf99")),
            13 => drop(row.insert("email", doc! { "home": "a@example.org" })),
            14 => drop(row.insert("email", "nobody")),
            15 => drop(row.insert("created_at", made_at)),
            16 => drop(row.insert("created_at", "yesterday")),
            17 => drop(row.insert("last_login", Bson::Double(made_at as f64 * 1_000.0))),
            18 => drop(row.insert("last_login", "never")),
            19 => drop(row.remove("last_login")),
            _ => {}
        }
        row
    }

    /// Who is in a room, the creator first; by places in the order of registration.
    fn participants_of(&self, room: u64) -> Vec<u64> {
        let mut random = self.random(Kind::Room, room);
        let count = 2 + random.rather_small((self.users / 2).min(500));
        let first = random.below(self.users);
        let step = 1 + random.below(7);
        (0..count).map(|at| (first + at * step) % self.users).collect()
    }

    fn room(&self, number: u64) -> Document {
        let mut random = self.random(Kind::Room, number);
        random.next();
        let made_at = Self::made_at(Kind::Room, number, self.rooms);
        let members = self.participants_of(number);
        let mut participants: Vec<Bson> =
            members.iter().map(|user| self.named_user(*user, &mut random)).collect();
        let mut row = doc! {
            "_id": self.id(Kind::Room, number),
            "name": format!("Room {number}"),
            "creator_id": self.named_user(members[0], &mut random),
            "created_at": date(made_at),
        };
        match random.below(24) {
            0 => drop(row.insert("name", "  ")),
            1 => drop(row.insert("name", "字".repeat(150))),
            2 => drop(row.insert("name", format!("Room\n{number}"))),
            3 => drop(row.remove("name")),
            4 => drop(row.insert("creator_id", self.gone_user(&mut random))),
            5 => participants.push(self.gone_user(&mut random)),
            6 => participants.push(Bson::String("nobody".to_owned())),
            7 => participants.extend_from_within(..),
            8 => {
                participants = vec![self.gone_user(&mut random)];
                row.insert("creator_id", participants[0].clone());
            }
            9 => drop(row.insert("created_at", made_at * 1_000)),
            10 => drop(row.remove("created_at")),
            11 => {
                // What PHP writes for an array from which something was removed.
                let listed = participants.drain(..).enumerate();
                let listed: Document = listed.map(|(at, user)| ((at * 2).to_string(), user)).collect();
                row.insert("participants", listed);
                return row;
            }
            _ => {}
        }
        row.insert("participants", participants);
        row
    }

    /// The two of a private chat.
    fn pair_of(&self, chat: u64) -> (u64, u64) {
        let mut random = self.random(Kind::Chat, chat);
        let one = random.below(self.users);
        (one, (one + 1 + random.below(self.users - 1)) % self.users)
    }

    fn chat(&self, number: u64) -> Document {
        let mut random = self.random(Kind::Chat, number);
        random.next();
        let made_at = Self::made_at(Kind::Chat, number, self.chats());
        let (one, other) = self.pair_of(number);
        let named = |user, random: &mut Random| self.named_user(user, random);
        let mut row = doc! {
            "_id": self.id(Kind::Chat, number),
            "user1_id": named(one, &mut random),
            "user2_id": named(other, &mut random),
            "created_at": date(made_at),
        };
        let (other_one, other_other) = self.pair_of(random.below(number));
        match random.below(40) {
            // Both open a chat at the same moment: the same pair, either way round.
            0 | 1 => {
                row.insert("user1_id", named(other_one, &mut random));
                row.insert("user2_id", named(other_other, &mut random));
            }
            2 | 3 => {
                row.insert("user1_id", named(other_other, &mut random));
                row.insert("user2_id", named(other_one, &mut random));
            }
            4 => drop(row.insert("user2_id", self.gone_user(&mut random))),
            5 => drop(row.insert("user2_id", self.id(Kind::User, one))),
            6 => drop(row.insert("created_at", made_at)),
            7 => drop(row.remove("created_at")),
            _ => {}
        }
        row
    }

    fn message(&self, number: u64) -> Document {
        let mut random = self.random(Kind::Message, number);
        let made_at = Self::made_at(Kind::Message, number, self.messages);
        let mut row = doc! { "_id": self.id(Kind::Message, number) };
        if random.below(4) == 0 {
            let chat = random.rather_small(self.chats());
            let (one, other) = self.pair_of(chat);
            let (sender, receiver) = if random.below(2) == 0 { (one, other) } else { (other, one) };
            row.insert("sender_id", self.named_user(sender, &mut random));
            row.insert("receiver_id", self.named_user(receiver, &mut random));
            row.insert("chat_id", as_text_or_id(self.id(Kind::Chat, chat), &mut random));
        } else {
            let room = random.rather_small(self.rooms);
            let members = self.participants_of(room);
            let sender = members[random.below(members.len() as u64) as usize];
            row.insert("sender_id", self.named_user(sender, &mut random));
            row.insert("room_id", as_text_or_id(self.id(Kind::Room, room), &mut random));
        }
        row.insert("content", text(number, &mut random));
        // Seconds, so that many have the same.
        row.insert("timestamp", date(made_at));
        row.insert(
            "type",
            ["text", "text", "text", "text", "text", "text", "image", "file"][(number % 8) as usize],
        );
        self.spoil(&mut row, made_at, &mut random);
        row
    }

    /// What goes wrong with a message now and then.
    fn spoil(&self, row: &mut Document, made_at: i64, random: &mut Random) {
        let stranger = Bson::ObjectId(self.id(Kind::User, random.below(self.users)));
        match random.below(1_000) {
            0 => drop(row.insert("sender_id", self.gone_user(random))),
            1 => drop(row.remove("sender_id")),
            2 => drop(row.insert("room_id", self.id(Kind::Room, self.rooms + 1))),
            3 => drop(row.insert("room_id", "general")),
            4 => {
                row.remove("room_id");
                row.remove("chat_id");
                row.remove("receiver_id");
            }
            5 => {
                row.remove("room_id");
                row.remove("chat_id");
                row.insert("receiver_id", stranger);
            }
            6 => {
                row.remove("room_id");
                row.insert("chat_id", self.id(Kind::Chat, self.chats() + 1));
                row.insert("receiver_id", stranger);
            }
            7 => {
                row.remove("room_id");
                row.remove("receiver_id");
                row.insert("chat_id", self.id(Kind::Chat, self.chats() + 1));
            }
            8 => {
                row.remove("room_id");
                row.remove("chat_id");
                row.insert("receiver_id", self.gone_user(random));
            }
            9 => {
                row.remove("room_id");
                row.insert("chat_id", self.id(Kind::Chat, random.below(self.chats())));
                row.insert("sender_id", stranger);
            }
            10 => drop(row.insert("timestamp", made_at)),
            11 => drop(row.insert("timestamp", made_at * 1_000 + 123)),
            12 => drop(row.insert("timestamp", Bson::Double(made_at as f64 + 0.25))),
            13 => drop(row.insert("timestamp", "soon")),
            14 => drop(row.remove("timestamp")),
            15 => drop(row.insert("content", "")),
            16 => drop(row.remove("content")),
            17 => drop(row.insert("content", "很长的消息。".repeat(1_500))),
            18 => drop(row.insert("content", "bell\u{7} and nul\0")),
            19 => drop(row.insert("content", doc! { "url": "https://files.example.org/1.png", "size": 1 })),
            20 => drop(row.insert("content", 42)),
            21 => drop(row.insert("type", "sticker")),
            22 => drop(row.remove("type")),
            23 => drop(row.insert("client_id", "")),
            24 => drop(row.insert("_id", format!("message at {made_at}"))),
            25 => {
                // Of a room and of a chat.
                row.insert("room_id", self.id(Kind::Room, random.below(self.rooms)));
                row.insert("chat_id", self.id(Kind::Chat, random.below(self.chats())));
            }
            _ => {}
        }
    }
}

fn date(seconds: i64) -> DateTime {
    DateTime::from_millis(seconds * 1_000)
}

fn as_text_or_id(id: ObjectId, random: &mut Random) -> Bson {
    if random.below(50) == 0 { Bson::String(id.to_hex()) } else { Bson::ObjectId(id) }
}

/// Something to say; no two messages say the same.
fn text(number: u64, random: &mut Random) -> String {
    const WORDS: [&str; 8] =
        ["hello", "see you at six", "你好", "明天见", "ok", "where is the file?", "谢谢", "no problem"];
    let mut text = format!("{number}:");
    for _ in 0..=random.below(8) {
        text.push(' ');
        text.push_str(WORDS[random.below(8) as usize]);
    }
    text
}

async fn insert(
    database: &Database,
    collection: &str,
    rows: impl Iterator<Item = Document>,
) -> mongodb::error::Result<()> {
    let collection = database.collection::<Document>(collection);
    let mut rows = rows.peekable();
    while rows.peek().is_some() {
        collection.insert_many(rows.by_ref().take(ROWS)).ordered(false).await?;
    }
    Ok(())
}
