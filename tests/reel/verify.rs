//! `reel verify`.

use crate::program::Reel;

#[test]
fn a_sound_directory_gets_one_line_and_code_zero() {
    let reel = Reel::new();
    reel.run("topics --create --topic t --partitions 2", "");
    reel.run("console-producer --topic t", "a\nb\nc\n");
    let said = reel.run("verify", "");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("0 findings, 0 notes in 2 partitions, "), "{said}");
    assert!(said.contains(" 3 records, ") && said.ends_with("; closed cleanly\n"), "{said}");
}

#[test]
fn damage_is_a_line_with_file_and_byte() {
    let reel = Reel::new();
    reel.unpack("14d-bit-flip");
    let output = reel.finish("verify", "");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("note: ")).collect();
    let [finding, summary] = lines[..] else { panic!("{said}") };
    let wanted = "crash-flip-0/00000000000000000119.log at byte 3163: checksum ";
    assert!(finding.contains(wanted), "{finding}");
    assert!(summary.starts_with("1 findings, "), "{summary}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.ends_with("data has 1 findings\n"), "{told}");
}

#[test]
fn a_running_program_is_not_disturbed() {
    let reel = Reel::new();
    reel.run("topics --create --topic t", "");
    let mut producer = reel.start("console-producer --topic t --sync");
    let mut input = producer.stdin.take().unwrap();
    let mut wait = 0;
    loop {
        std::io::Write::write_all(&mut input, b"x\n").unwrap();
        let said = reel.run("verify", "");
        assert!(said.starts_with("0 findings, "), "{said}");
        if said.ends_with("; open in another process\n") && !said.contains(" 0 records") {
            break;
        }
        wait += 1;
        assert!(wait < 1000, "{said}");
    }
    drop(input);
    assert!(producer.wait().unwrap().success());
}

#[test]
fn a_directory_that_is_none_is_refused() {
    let reel = Reel::new();
    assert!(reel.fail("verify", "").contains("is not a log directory"));
}
