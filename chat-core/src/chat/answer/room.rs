//! What users do with rooms and their members.

use super::{Requester, fitting};
use crate::chat::action::NewRoom;
use crate::error::ActionError;
use crate::protocol::reply::{
    CreateRoomReply, Done, GetRoomReply, JoinRoomReply, MemberView, RoomListReply, RoomView,
};
use crate::protocol::request::{
    CreateRoom, GetRoom, ListRooms, Room, RoomScope, RoomUser, SetRole, UpdateRoom,
};
use crate::protocol::table::AnswersRoom;

impl AnswersRoom for Requester<'_> {
    async fn create_room(&self, create: CreateRoom) -> Result<CreateRoomReply, ActionError> {
        let room = NewRoom { name: create.room_name, topic: create.topic, visibility: create.visibility };
        let room = self.user.create_room(room).await?;
        Ok(CreateRoomReply { room_id: room.id })
    }

    async fn join_room(&self, room: Room) -> Result<JoinRoomReply, ActionError> {
        let room_id = room.room_id.resolve()?;
        Ok(JoinRoomReply { room_id, since_seq: self.user.join_room(room_id).await? })
    }

    async fn leave_room(&self, room: Room) -> Result<Done, ActionError> {
        self.user.leave_room(room.room_id.resolve()?).await.map(|()| Done {})
    }

    async fn get_room(&self, get: GetRoom) -> Result<GetRoomReply, ActionError> {
        let after = get.after.map(|after| after.resolve()).transpose()?;
        let view = self.user.room(get.room_id.resolve()?, after, get.limit.get()).await?;
        let room =
            RoomView::new(&view.conversation, Some(&view.member)).ok_or_else(ActionError::not_found)?;
        let next_after = view.members.last().filter(|_| view.has_more).map(|member| member.user_id);
        let members = view.members.iter().map(MemberView::from).collect();
        Ok(GetRoomReply { room, members, next_after })
    }

    async fn list_rooms(&self, list: ListRooms) -> Result<RoomListReply, ActionError> {
        let after = list.after.map(|after| after.resolve()).transpose()?;
        let limit = list.limit.get();
        let (rooms, mut has_more): (Vec<_>, _) = match list.scope {
            RoomScope::Mine => {
                let (rooms, has_more) = self.user.rooms(after, limit).await?;
                (rooms.iter().filter_map(RoomView::mine).collect(), has_more)
            }
            RoomScope::Public => {
                let query = list.query.unwrap_or_default();
                let (rooms, has_more) = self.user.discover_rooms(&query, after, limit).await?;
                (rooms.iter().filter_map(|room| RoomView::new(room, None)).collect(), has_more)
            }
        };
        let rooms = fitting(rooms, &mut has_more);
        let next_after = rooms.last().filter(|_| has_more).map(|room| room.room_id);
        Ok(RoomListReply { rooms, next_after })
    }

    async fn invite_member(&self, of: RoomUser) -> Result<Done, ActionError> {
        self.user.invite_member(of.room_id.resolve()?, of.user_id.resolve()?).await.map(|()| Done {})
    }

    async fn remove_member(&self, of: RoomUser) -> Result<Done, ActionError> {
        self.user.remove_member(of.room_id.resolve()?, of.user_id.resolve()?).await.map(|()| Done {})
    }

    async fn ban_member(&self, of: RoomUser) -> Result<Done, ActionError> {
        self.user.ban_member(of.room_id.resolve()?, of.user_id.resolve()?).await.map(|()| Done {})
    }

    async fn unban_member(&self, of: RoomUser) -> Result<Done, ActionError> {
        self.user.unban_member(of.room_id.resolve()?, of.user_id.resolve()?).await.map(|()| Done {})
    }

    async fn set_role(&self, set: SetRole) -> Result<Done, ActionError> {
        self.user.set_role(set.room_id.resolve()?, set.user_id.resolve()?, set.role).await.map(|()| Done {})
    }

    async fn update_room(&self, update: UpdateRoom) -> Result<Done, ActionError> {
        let room = update.room_id.resolve()?;
        self.user.update_room(room, update.room_name, update.topic).await.map(|()| Done {})
    }
}
