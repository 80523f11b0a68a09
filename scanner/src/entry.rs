//! What the runtime calls: each minute for the schedule, and for a message of the queue.

use crate::host::{self, Queue};
use crate::schedule;
use crate::settings::Settings;
use platform::settings::SettingError;
use std::cell::OnceCell;
use worker::{Context, Env, MessageBatch, ScheduleContext, ScheduledEvent, event};

thread_local! {
    // The settings never change during an isolate's life.
    static SETTINGS: OnceCell<&'static Result<Settings, SettingError>> = const { OnceCell::new() };
}

fn settings(env: &Env) -> &'static Result<Settings, SettingError> {
    let read = || &*Box::leak(Box::new(Settings::read(|name| host::variable(env, name))));
    SETTINGS.with(|cell| *cell.get_or_init(read))
}

/// Each minute, as `wrangler.toml` says.
#[event(scheduled)]
async fn scheduled(_: ScheduledEvent, env: Env, _: ScheduleContext) {
    schedule::run(settings(&env), Queue::of(&env)).await;
}

/// Messages are never retried: the schedule finds what is left.
#[event(queue)]
async fn queue(_: MessageBatch<String>, env: Env, _: Context) -> worker::Result<()> {
    schedule::run(settings(&env), None).await;
    Ok(())
}
