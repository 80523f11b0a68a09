//! What the runtime calls: for a minute of the schedule, and for a message of the queue.

use crate::host::{self, Queue};
use crate::schedule;
use crate::settings::Settings;
use platform::settings::SettingError;
use std::cell::OnceCell;
use worker::{Context, Env, MessageBatch, ScheduleContext, ScheduledEvent, event};

thread_local! {
    // An isolate lives as long as its deployment at the most, so its settings never change.
    static SETTINGS: OnceCell<&'static Result<Settings, SettingError>> = const { OnceCell::new() };
}

fn settings(env: &Env) -> &'static Result<Settings, SettingError> {
    // Leaked once an isolate.
    let read = || &*Box::leak(Box::new(Settings::read(|name| host::variable(env, name))));
    SETTINGS.with(|cell| *cell.get_or_init(read))
}

/// A minute of the schedule, as `wrangler.toml` sets it.
#[event(scheduled)]
async fn scheduled(_: ScheduledEvent, env: Env, _: ScheduleContext) {
    schedule::run(settings(&env), Queue::of(&env)).await;
}

/// A message of the queue. None is ever sent again: the schedule knows what is left.
#[event(queue)]
async fn queue(_: MessageBatch<String>, env: Env, _: Context) -> worker::Result<()> {
    schedule::run(settings(&env), None).await;
    Ok(())
}
