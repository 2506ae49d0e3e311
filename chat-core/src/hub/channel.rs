//! A conversation's live side: its ring of encoded entries and who reads it.
