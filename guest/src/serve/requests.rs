//! What a host can ask for: dispatch of requests.

use crate::errors::{failure, no_controller};
use crate::exec::limits;
use crate::exec::pool::Pool;
use crate::exec::process::Process;
use crate::files::difference::Layers;
use crate::serve::agent::Agent;
use crate::serve::worker::{self, Job};
use crate::serve::{commands, forward, hold, host_mounts, identity, processes};
use crate::streams::session::Link;
use crate::streams::task::Task;
use crate::wire::messages::{code, Difference, Exec, Failure, Info, Limits, Outcome, Request};

/// Commands, file requests and connections that exist at once, over all sessions.
const MAX_TASKS: usize = 1024;
/// SIGRTMAX.
const MAX_SIGNAL: u32 = 64;

/// An outcome if the request is done already, none if its stream goes on. `message` is the OPEN that asks for it.
pub fn begin(agent: &mut Agent, link: Link, request: &Request, message: &[u8]) -> Result<Option<Outcome>, Failure> {
    let makes_task = matches!(
        request,
        Request::Exec(_)
            | Request::File(_)
            | Request::Forward(_)
            | Request::DoorAccept(_)
            | Request::DoorNext
            | Request::Sync
            | Request::HostMount(_)
            | Request::HostUnmount(_)
            | Request::HostChanges(_)
            | Request::Difference(_)
    );
    if makes_task && agent.mux.tasks.len() >= MAX_TASKS {
        return Err(Failure::new(code::LIMIT, "too many commands, file requests and connections at once"));
    }
    if makes_task && agent.shutdown.is_some() {
        return Err(Failure::new(code::STOPPING, "the machine is shutting down"));
    }
    match request {
        Request::Exec(exec) => start_command(agent, link, exec),
        Request::Attach(process) => processes::attach(&mut agent.mux, link, *process).map(|()| None),
        Request::ProcessList => processes::list(&mut agent.mux, link),
        Request::ProcessSignal(signal) => processes::signal(&mut agent.mux, link, signal),
        Request::File(file) => worker::start(&mut agent.mux, link, Job::File(file, message)).map(|()| None),
        Request::Difference(wanted) => difference(agent, link, *wanted).map(|()| None),
        Request::Sync => worker::start(&mut agent.mux, link, Job::Sync).map(|()| None),
        Request::Forward(to) => forward::open(&mut agent.mux, link, to).map(|()| None),
        Request::Door => agent.door.open(&mut agent.mux, link).map(|()| None),
        Request::Bring(port) => agent.door.bring(&mut agent.mux, link, *port).map(|()| None),
        Request::DoorNext => agent.door.await_next(&mut agent.mux, link).map(|()| None),
        Request::DoorAccept(number) => agent.door.accept(&mut agent.mux, link, *number).map(|()| None),
        Request::HostMount(request) => {
            let disk = agent.disk.root();
            host_mounts::mount(&mut agent.mux, link, request, disk).map(|()| None)
        }
        Request::HostUnmount(request) => worker::start(&mut agent.mux, link, Job::HostUnmount(request)).map(|()| None),
        Request::HostChanges(mount) => host_mounts::follow(&mut agent.mux, link, *mount).map(|()| None),
        Request::Shutdown { grace_ms, signal } => {
            if *signal > MAX_SIGNAL {
                return Err(Failure::new(code::INVALID, "there is no such signal"));
            }
            agent.begin_shutdown(*grace_ms, *signal as i32, "shutdown");
            Ok(None)
        }
        Request::Configure(settings) => {
            identity::give(agent, settings)?;
            limit_commands(&mut agent.mux.cgroups, settings.limits)?;
            if let Some(init) = &settings.init {
                agent.commands.start_init(&mut agent.mux, init)?;
            }
            let info = Info { mounts: settings.mounts.len() as u32, ..info(agent) };
            Ok(Some(Outcome { info: Some(info), ..Outcome::default() }))
        }
        Request::Info => Ok(Some(Outcome { info: Some(info(agent)), ..Outcome::default() })),
        Request::Hold { suspend } => hold::hold(agent, link, *suspend),
        Request::Release => hold::release(agent, true).map(|()| Some(Outcome::default())),
        Request::Unknown => Err(Failure::new(code::UNSUPPORTED, "this agent does not know the request")),
        Request::Ambiguous => Err(Failure::new(code::INVALID, "an OPEN carries exactly one request")),
    }
}

/// Whether a machine that is held leaves it until it goes on: it is for what runs. Pure.
pub fn waits_while_held(request: &Request) -> bool {
    !matches!(
        request,
        Request::Configure(_)
            | Request::Info
            | Request::Hold { .. }
            | Request::Release
            | Request::Shutdown { .. }
            | Request::Difference(_)
            | Request::HostMount(_)
            | Request::HostChanges(_)
            | Request::Unknown
            | Request::Ambiguous
    )
}

fn difference(agent: &mut Agent, link: Link, wanted: Difference<'_>) -> Result<(), Failure> {
    let layers = agent.disk.layers().map(|(upper, base)| Layers { upper: upper.raw(), base: base.raw() });
    let layers = layers.ok_or_else(|| Failure::new(code::UNSUPPORTED, "the machine has no disk over a base"))?;
    worker::start(&mut agent.mux, link, Job::Difference(wanted, layers))
}

fn info(agent: &Agent) -> Info {
    let running = |task: &Task| task.process().is_some_and(|p| p.exited.is_none());
    let processes = agent.mux.tasks.iter().filter(|(_, task)| running(task)).count();
    let cgroups = &agent.mux.cgroups;
    Info {
        controllers: cgroups.controllers().to_vec(),
        limits: cgroups.limits(),
        command_limits: limits::of_each(cgroups.limits()),
        init: agent.commands.init.as_ref().map_or(0, |init| init.process),
        ..crate::machine::info::read(&agent.boot_id, processes as u32)
    }
}

/// Limits for all commands together.
fn limit_commands(cgroups: &mut Pool, limits: Limits) -> Result<(), Failure> {
    if limits == Limits::default() {
        return Ok(());
    }
    if let Some(controller) = cgroups.lacks(limits) {
        return Err(no_controller(controller));
    }
    cgroups.limit_all(limits).map_err(|e| failure(b"cannot limit commands", e))
}

fn start_command(agent: &mut Agent, link: Link, exec: &Exec) -> Result<Option<Outcome>, Failure> {
    let mux = &mut agent.mux;
    let task = agent.commands.start(mux, exec)?;
    let process = mux.tasks.get(task).and_then(|t| t.process());
    let later = |p: &Process| p.starting.is_some() || p.watch_at.is_some();
    let Some((id, pid, later)) = process.map(|p| (p.id, p.pid as u32, later(p))) else {
        return Err(Failure::new(code::IO, "the command was lost"));
    };
    mux.connect(link, task);
    if !later {
        commands::opened(mux, task, id, pid);
    }
    Ok(None)
}
