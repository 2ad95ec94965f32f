from data_prep.report import Report, enumerate_first, format_table


def test_report_aligns_its_texts():
    report = Report()
    report.add("gaps", "none")
    report.add("null values", 3)
    assert str(report) == "gaps         none\nnull values  3"


def test_long_lists_are_cut_and_counted():
    assert enumerate_first("abcde") == "a, b, c and 2 more"
    assert enumerate_first([1, 2]) == "1, 2"


def test_what_a_file_says_steers_no_terminal_and_forges_no_line():
    text = format_table([("name", "a\x1b[2Jb\nverdict  fine\u202e"), ("verdict", "café")])
    assert text == "name     a\\x1b[2Jb\\nverdict  fine\\u202e\nverdict  café"
