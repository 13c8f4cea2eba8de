//! Actions: what tenants do to an app besides changing it. Each changes a counter or a switch that the plan reads.

use metapaas_core::action::parameter;
use metapaas_core::{ActionCall, ActionError, Plugin};

use crate::types::{App, Release};

pub(crate) fn declare(plugin: Plugin) -> Plugin {
    let release = parameter::<Option<u32>>("release", "Its number; the one before the newest without it.");
    plugin
        .action("deploy", "Builds what `git_ref` is now and makes a release of it. Starts a stopped app.", deploy)
        .action_with(
            "rollback",
            "Makes a release of what an earlier one was: its code, command and environment. Nothing is built.",
            [release],
            rollback,
        )
        .action("restart", "Restarts the app on every node.", restart)
        .action("stop", "Takes the app's nodes away; its releases stay.", stop)
        .action("start", "Gives a stopped app its nodes again.", start)
}

fn deploy(app: App, _: &ActionCall) -> Result<App, ActionError> {
    Ok(App { deploys: more(app.deploys), stopped: Some(false), ..app })
}

fn rollback(app: App, call: &ActionCall) -> Result<App, ActionError> {
    let releases = call.children::<Release>()?;
    let number = match call.parameter::<Option<u32>>("release")? {
        Some(number) => number,
        None => {
            let mut earlier = releases.iter().rev().skip(1).map(|release| &release.spec);
            let Some(found) = earlier.find(|release| release.image.is_some()) else {
                return Err(ActionError::refused("there is no earlier release that was built"));
            };
            found.number
        }
    };
    let Some(release) = releases.iter().map(|release| &release.spec).find(|one| one.number == number) else {
        return Err(ActionError::parameter("release", format!("there is no release {number}")));
    };
    if release.image.is_none() {
        return Err(ActionError::refused(format!("release {number} was never built")));
    }
    Ok(App { rollbacks: more(app.rollbacks), rollback_to: Some(number), ..app })
}

fn restart(app: App, _: &ActionCall) -> Result<App, ActionError> {
    Ok(App { restarts: more(app.restarts), ..app })
}

fn stop(app: App, _: &ActionCall) -> Result<App, ActionError> {
    Ok(App { stopped: Some(true), ..app })
}

fn start(app: App, _: &ActionCall) -> Result<App, ActionError> {
    Ok(App { stopped: Some(false), ..app })
}

fn more(count: Option<u32>) -> Option<u32> {
    Some(count.unwrap_or_default().saturating_add(1))
}
