package kineto

import "testing"

func FuzzRead(f *testing.F) {
	for _, g := range generations {
		f.Add([]byte(g.text))
	}
	f.Add([]byte(`[{"ph":"X","ts":1.5},{"ph":"X","ts":2.5},{"ph":"X","ts":3.25,"args":{"correlation":1,"a":[1,[2,{"b":"c"}]]}}]`))
	f.Add([]byte("{\"traceEvents\":[\n {\"ph\":\"X\",\"ts\":1},\n {\"ph\":\"X\",\"ts\":2},\n {\"ph\":\"X\",\"ts\":3\n ],\"a\":[{}]}"))
	f.Add([]byte(`{"a":1,"traceEvents":[{"ph":"s","id":"0x1f","ts":1,"name":"\ud83d\ude00"},{"ph":"s","id":"0x2f","ts":1,"name":"\\"}],"b":[]}`))
	f.Add([]byte(`[{"ph":"X","ts":1.5},{"ph":"X","ts":2.5},{"ph":"X:"X","ts":2.5},`))
	f.Add([]byte(`[{"xh":"X","ts":1.5},{"pss":"X","ts":2.5},{"ph":"c","ts":3.25}]`))
	f.Add([]byte(`,"metadata":{"a":[{"b":"]}"}]}{"traceEvents":[{"args":{"correlation":"12"},"d`))
	f.Add([]byte(`[{"ph":""} {"ph":""}},{ "pid":000000000000000`))
	f.Add([]byte(`{"a":"b"c","d":[{"e":"f"g"},{}],"h":1 "traceEvents":[{"ph":"X","ts":1 "cat":"kernel" "name":"a"b"},1],"i":j,"k":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		text := string(data)
		got := compareWays(t, text, []string{"a", "stream"})
		compareOracle(t, text, got)
	})
}
