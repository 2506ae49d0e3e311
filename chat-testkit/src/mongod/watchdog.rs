//! A process that dies with the test: a shell holds it, and a pipe from the test's process holds the shell.

use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The shell's whole life. Its standard input ends when the test's process does, however that ends. More files than
/// the usual 1,024 are needed where many tests have databases of their own.
const SCRIPT: &str = r#"
directory=$1
shift
pid=
stop() {
    [ -n "$pid" ] && kill -9 "$pid" && wait "$pid"
    pid=
}
ulimit -n "$(ulimit -H -n)"
while read -r word; do
    case $word in
        start)
            "$@" </dev/null >>"$directory/output" 2>&1 &
            pid=$!
            echo "$pid"
            ;;
        kill)
            stop
            echo killed
            ;;
    esac
done
stop
rm -rf "$directory"
"#;

/// Between two looks whether a thread has stopped.
const PAUSE_POLL: Duration = Duration::from_millis(1);

/// A program that runs for as long as this, in a directory that goes with it.
#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
    /// `None` only while this is dropped.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    process: Option<Pid>,
    /// Dropped after the shell has ended. The shell removes the directory where this cannot.
    directory: TempDir,
}

impl Watchdog {
    /// A watchdog for `command`, which does not run yet.
    pub(super) fn new(directory: TempDir, command: impl IntoIterator<Item = OsString>) -> io::Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "watchdog"])
            .arg(directory.path())
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A terminal's Ctrl-C is for the test; the watchdog still has to clean up after it.
            .process_group(0)
            .spawn()?;
        let (Some(commands), Some(answers)) = (shell.stdin.take(), shell.stdout.take()) else {
            return Err(io::Error::other("the watchdog has no pipes"));
        };
        let answers = BufReader::new(answers);
        Ok(Self { shell, commands: Some(commands), answers, process: None, directory })
    }

    /// Starts the program; one that runs is killed first.
    pub(super) fn start(&mut self) -> io::Result<()> {
        self.kill()?;
        let answer = self.ask("start")?;
        let process = answer.parse().ok().and_then(Pid::from_raw);
        self.process = Some(process.ok_or_else(|| io::Error::other(format!("`{answer}` is no process")))?);
        Ok(())
    }

    /// Kills the program without warning, and waits until it has gone.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        if self.process.take().is_some() {
            self.ask("kill")?;
        }
        Ok(())
    }

    /// Sends a signal to the program.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let process = self.process.ok_or_else(|| io::Error::other("it does not run"))?;
        Ok(kill_process(process, signal)?)
    }

    /// Stops the program, and waits until none of its threads does anything any more: the signal reaches them one
    /// after the other. Where the system has no `/proc` the signal has to do.
    pub(super) fn pause(&self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        let process = self.process_id().ok_or_else(|| io::Error::other("it does not run"))?;
        let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return Ok(()) };
        for thread in threads {
            let stat = thread?.path().join("stat");
            // A thread that has ended does nothing either.
            while std::fs::read_to_string(&stat).is_ok_and(|stat| !is_in_state(&stat, &['T', 't', 'Z', 'X']))
            {
                std::thread::sleep(PAUSE_POLL);
            }
        }
        Ok(())
    }

    /// The program's process, if it was started and not killed.
    pub(super) fn process_id(&self) -> Option<i32> {
        self.process.map(|process| process.as_raw_nonzero().get())
    }

    /// Whether the program has ended by itself. Unknown (`false`) where the system has no `/proc`.
    pub(super) fn has_ended(&self) -> bool {
        let Some(process) = self.process_id() else { return true };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else {
            return Path::new("/proc/self/stat").exists();
        };
        is_in_state(&stat, &['Z'])
    }

    /// Where the program keeps what it has.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn ask(&mut self, word: &str) -> io::Result<String> {
        let gone = || io::Error::other("the watchdog has gone");
        let commands = self.commands.as_mut().ok_or_else(gone)?;
        writeln!(commands, "{word}")?;
        commands.flush()?;
        let mut answer = String::new();
        match self.answers.read_line(&mut answer)? {
            0 => Err(gone()),
            _ => Ok(answer.trim().to_owned()),
        }
    }
}

/// Whether a `stat` file of `/proc` tells one of these states. The state follows the name, which is in parentheses and may
/// have any character.
fn is_in_state(stat: &str, states: &[char]) -> bool {
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(states))
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.commands.take());
        // The directory is removed after this, when nobody writes to it any more.
        let _ = self.shell.wait();
    }
}
