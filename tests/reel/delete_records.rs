//! `reel delete-records`.

use crate::program::Reel;

fn with_records() -> Reel {
    let reel = Reel::new();
    reel.run("topics --create --topic t --partitions 2", "");
    let lines: String = (0..10).map(|i| format!("k\tvalue {i}\n")).collect();
    reel.run("console-producer --topic t --property parse.key=true", &lines);
    reel
}

fn wanted(partition: i32, offset: i64) -> String {
    let item = format!("{{\"topic\": \"t\", \"partition\": {partition}, \"offset\": {offset}}}");
    format!("{{\"partitions\": [{item}], \"version\": 1}}")
}

#[test]
fn records_before_an_offset_go_and_stay_away() {
    let reel = with_records();
    let ends = reel.ends("t");
    let full = (0..).zip(&ends).find(|(_, end)| **end == 10).unwrap().0;
    reel.write("f.json", &wanted(full, 7));
    let said = reel.run("delete-records --offset-json-file f.json", "");
    assert_eq!(
        said,
        format!(
            "Executing records delete operation\nRecords delete operation completed:\n\
             partition: t-{full}\tlow_watermark: 7\n"
        )
    );
    assert_eq!(reel.values("t"), ["value 7", "value 8", "value 9"]);
    let earliest = reel.run("get-offsets --topic t --time earliest", "");
    assert!(earliest.contains(&format!("t:{full}:7\n")), "{earliest}");
    reel.write("f.json", &wanted(full, -1));
    let said = reel.run("delete-records --offset-json-file f.json", "");
    assert!(said.ends_with("low_watermark: 10\n"), "{said}");
    assert!(reel.values("t").is_empty());
    assert!(reel.finish("verify", "").status.success());
}

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    let reel = with_records();
    for (text, said) in [
        ("{", "f.json is not what it should be"),
        ("{\"partitions\": [], \"version\": 2}", "has version 2, not 1"),
        (
            "{\"partitions\": [{\"topic\":\"t\",\"partition\":0,\"offset\":0},\
              {\"topic\":\"t\",\"partition\":0,\"offset\":1}]}",
            "names partition t-0 twice",
        ),
    ] {
        reel.write("f.json", text);
        let error = reel.fail("delete-records --offset-json-file f.json", "");
        assert!(error.contains(said), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let error = reel.fail("delete-records --offset-json-file none.json", "");
    assert!(error.contains("cannot read none.json"), "{error}");
    reel.write("f.json", &wanted(0, 99));
    let output = reel.finish("delete-records --offset-json-file f.json", "");
    assert!(!output.status.success());
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.contains("partition: t-0\terror: OFFSET_OUT_OF_RANGE: "), "{out}");
}
