//! Two programs in one static executable, for `run.sh` beside this file:
//!  * as pid 1 in the emulated machine: run /bin-under-test, send framed output to port 0xE9, shut down;
//!  * on the host: decode Bochs' stdout (frames) into stdout / stderr / exit status.
//! Frame: 0xFE 0xED kind(1) len_lo len_hi data..   kind 1 = stdout, 2 = stderr, 3 = exit status (1 byte)
use std::ffi::{CString, c_char, c_int, c_ulong, c_void};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio, exit};
use std::sync::{Arc, Mutex};

unsafe extern "C" {
    fn mount(s: *const c_char, t: *const c_char, f: *const c_char, fl: c_ulong, d: *const c_void) -> c_int;
    fn ioperm(from: c_ulong, num: c_ulong, on: c_int) -> c_int;
    fn iopl(level: c_int) -> c_int;
    fn reboot(cmd: c_int) -> c_int;
}

fn outb(port: u16, b: u8) {
    unsafe { core::arch::asm!("out dx, al", in("dx") port, in("al") b, options(nostack, nomem)) }
}
fn send(b: &[u8]) {
    for &x in b { outb(0xE9, x) }
}
fn frame(kind: u8, data: &[u8]) {
    for c in data.chunks(0xFFFF) {
        send(&[0xFE, 0xED, kind, c.len() as u8, (c.len() >> 8) as u8]);
        send(c);
    }
}

fn do_mount(src: &str, dst: &str, fs: &str) {
    let _ = std::fs::create_dir_all(dst);
    let (s, d, f) = (CString::new(src).unwrap(), CString::new(dst).unwrap(), CString::new(fs).unwrap());
    unsafe { mount(s.as_ptr(), d.as_ptr(), f.as_ptr(), 0, std::ptr::null()) };
}

fn guest() -> ! {
    do_mount("proc", "/proc", "proc");
    do_mount("sysfs", "/sys", "sysfs");
    do_mount("devtmpfs", "/dev", "devtmpfs");
    do_mount("tmpfs", "/tmp", "tmpfs");
    unsafe { iopl(3); ioperm(0xE9, 1, 1); }
    let code = match run() {
        Ok(c) => c,
        Err(e) => { frame(2, format!("emuinit: {e}\n").as_bytes()); 126 }
    };
    frame(3, &[code]);
    for b in b"Shutdown" { outb(0x8900, *b) } // Bochs: quit the emulator
    unsafe { reboot(0x4321_fedc) };           // power off, should that not have worked
    loop { std::thread::sleep(std::time::Duration::from_secs(1)) }
}

fn run() -> Result<u8, String> {
    let read = |p: &str| std::fs::read(p).unwrap_or_default();
    let split = |v: Vec<u8>| -> Vec<std::ffi::OsString> {
        use std::os::unix::ffi::OsStringExt;
        let mut r: Vec<_> = v.split(|b| *b == 0).map(|s| std::ffi::OsString::from_vec(s.to_vec())).collect();
        r.pop(); // every item ends with NUL
        r
    };
    let args = split(read("/emu.args"));
    let mut c = Command::new("/emu.bin");
    c.arg0(args.first().ok_or("no /emu.args")?).args(&args[1..]);
    c.env_clear().env("PATH", "/bin").env("HOME", "/tmp").env("TMPDIR", "/tmp");
    for kv in split(read("/emu.env")) {
        let s = kv.to_string_lossy().into_owned();
        if let Some((k, v)) = s.split_once('=') { c.env(k, v); }
    }
    c.current_dir("/tmp").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut ch = c.spawn().map_err(|e| format!("cannot start the binary: {e} (is it static?)"))?;
    let lock = Arc::new(Mutex::new(()));
    let pump = |kind: u8, mut r: Box<dyn Read + Send>| {
        let lock = lock.clone();
        std::thread::spawn(move || {
            // iopl is per thread and inherited by threads made later
            let mut b = vec![0u8; 32768];
            while let Ok(n) = r.read(&mut b) {
                if n == 0 { break }
                let _g = lock.lock().unwrap();
                frame(kind, &b[..n]);
            }
        })
    };
    let t1 = pump(1, Box::new(ch.stdout.take().unwrap()));
    let t2 = pump(2, Box::new(ch.stderr.take().unwrap()));
    let st = ch.wait().map_err(|e| e.to_string())?;
    let _ = (t1.join(), t2.join());
    Ok(match (st.code(), st.signal()) {
        (Some(c), _) => c as u8,
        (_, Some(s)) => { frame(2, format!("emuinit: killed by signal {s}\n").as_bytes()); 128 + s as u8 }
        _ => 127,
    })
}

fn host() -> ! {
    let mut i = std::io::BufReader::with_capacity(1 << 16, std::io::stdin().lock());
    let (mut o, mut e) = (std::io::stdout(), std::io::stderr());
    let mut code = 125;
    let mut byte = || -> Option<u8> { let mut b = [0u8]; i.read_exact(&mut b).ok().map(|_| b[0]) };
    let mut prev = 0u8;
    'main: while let Some(b) = byte() {
        let hit = prev == 0xFE && b == 0xED;
        prev = b;
        if !hit { continue } // Bochs' own chatter
        let mut h = [0u8; 3];
        for x in &mut h { match byte() { Some(v) => *x = v, None => break 'main } }
        let n = h[1] as usize | (h[2] as usize) << 8;
        let mut d = Vec::with_capacity(n);
        for _ in 0..n { match byte() { Some(v) => d.push(v), None => break } }
        match h[0] {
            1 => { let _ = o.write_all(&d); let _ = o.flush(); }
            2 => { let _ = e.write_all(&d); }
            3 => code = *d.first().unwrap_or(&125) as i32,
            _ => {}
        }
    }
    if code == 125 { eprintln!("run.sh: the emulated machine ended without an exit status"); }
    exit(code)
}

fn main() {
    if std::process::id() == 1 { guest() } else { host() }
}
