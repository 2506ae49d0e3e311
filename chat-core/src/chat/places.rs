//! How many rooms each user is about to become a member of, so that requests at once
//! cannot pass a limit that each of them keeps alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::id::UserId;

/// Places that are taken by requests in progress.
#[derive(Debug, Default)]
pub(crate) struct RoomPlaces(Mutex<HashMap<UserId, u32>>);

/// A place; free again when dropped.
#[derive(Debug)]
pub(crate) struct RoomPlace {
    places: Arc<RoomPlaces>,
    user: UserId,
}

impl RoomPlaces {
    /// Takes a place for a user.
    pub(crate) fn take(self: &Arc<Self>, user: UserId) -> RoomPlace {
        *self.lock().entry(user).or_default() += 1;
        RoomPlace { places: self.clone(), user }
    }

    /// How many places of a user are taken.
    pub(crate) fn taken(&self, user: UserId) -> u32 {
        self.lock().get(&user).copied().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RoomPlace {
    fn drop(&mut self) {
        let mut places = self.places.lock();
        if let Some(taken) = places.get_mut(&self.user) {
            *taken -= 1;
            if *taken == 0 {
                places.remove(&self.user);
            }
        }
    }
}
