package serving_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"tokprof/trace/serving"
)

func TestScrubLog(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		// Kept as it is.
		{`(APIServer pid=2290) INFO:     127.0.0.1:35118 - "POST /v1/completions HTTP/1.1" 200 OK`, ""},
		{`(APIServer pid=1) INFO 11-23 03:01:24 [loggers.py:271] Engine 000: Avg prompt throughput: 7369.5 tokens/s, Avg generation throughput: 1956.7 tokens/s, Running: 10 reqs, Waiting: 81 reqs, GPU KV cache usage: 98.6%, Prefix cache hit rate: 0.0%`, ""},
		{`INFO 11-23 02:24:05 [launcher.py:46] Route: /start_profile, Methods: POST`, ""},
		{`Maximum concurrency for 4,096 tokens per request: 617.11x, version 0.20.2, max_num_batched_tokens=8192, api_key=None, 'host': '0.0.0.0', distributed_init_method=tcp://127.0.0.1:51837 backend=nccl`, ""},
		{`Capturing CUDA graphs (decode, FULL):  71%|###  | 5/7 [00:00<00:00, 41.41it/s]`, ""},
		{`void flash::enable_sm90_or_later<Foo>(int) 03:01:24 c10::add_x`, ""},
		{`Using 'FLASH_ATTN' and models/llama-16l from Qwen/Qwen3-8B N/A 1/2`, ""},
		{`Route: /v1/responses/{response_id}/cancel, Methods: POST, self.hf_config.architectures, hf_chat_template_name=None`, ""},
		// Paths.
		{`47/49 [09:32<00:14,  7.50s/it]/home/bob/x.py:3`, `47/49 [09:32<00:14,  7.50s/it]<path>:3`},
		{`Traces will be saved to: /home/bob/prof`, `Traces will be saved to: <path>`},
		{`model='/data/My Models/x', dir="~/x y", C:\Users\bob\x and ~bob/x;/a`, `model='<path>', dir="<path>", <path> and <path>;<path>`},
		{`  File "/usr/lib/python3/dist-packages/x.py", line 3, in f`, `  File "<path>", line 3, in f`},
		{`"GET /v1/models?key=abc HTTP/1.1" 200`, `"GET /v1/models HTTP/1.1" 200`},
		{`"GET /home/bob HTTP/1.1" 404`, `"GET <path> HTTP/1.1" 404`},
		// Places in the network.
		{`INFO:     10.1.2.3:35118 - "GET /health HTTP/1.1" 200 OK`, `INFO:     <ip>:35118 - "GET /health HTTP/1.1" 200 OK`},
		{`listening on [2001:db8::17]:8000 and fe80::1 at 192.168.1.7.`, `listening on [<ip>]:8000 and <ip> at <ip>.`},
		{`init tcp://gpu-node-7.corp:29500/x, https://u:p@h/x s3://bucket/key ipc:///tmp/sock http://127.0.0.1:8000/x`, `init tcp://<host>, https://<host> s3://<host> ipc://<path> http://127.0.0.1:8000`},
		{`master_addr=gpu-node-7, mq_connect_ip=x1 (local), 'hostname': 'gpu7', bob@gpu7`, `master_addr=<host>, mq_connect_ip=<host> (local), 'hostname': <host>, <user>@<host>`},
		// Keys, users, variables.
		{`'api_key': ['abc', 'def'], 'model': 'm'`, `'api_key': <secret>, 'model': 'm'`},
		{`args: --api-key abc --hf-token=def --max-num-batched-tokens 8192`, `args: --api-key <secret> --hf-token=<secret> --max-num-batched-tokens 8192`},
		{`Authorization: Bearer abc.def, hf_abcdefghijklmnopq and sk-abcdefgh`, `Authorization: <secret> <secret>, <secret> and <secret>`},
		{`HF_TOKEN=abc VLLM_HOST_IP=x NCCL_DEBUG=INFO OMP_NUM_THREADS=1 user=bob admin_api_key='x y'`, `HF_TOKEN=<secret> VLLM_HOST_IP=<host> NCCL_DEBUG=<env> OMP_NUM_THREADS=1 user=<user> admin_api_key=<secret>`},
		{`gpu GPU-0f1e2d3c-0000-1111-2222-333344445555`, `gpu <uuid>`},
		// Before the line.
		{`gpu4090d bash[59857]: (APIServer pid=59857) INFO 04-05 18:07:38 [x.py:1] y`, `(APIServer pid=59857) INFO 04-05 18:07:38 [x.py:1] y`},
		{`pod-7-vllm  | INFO 04-05 18:07:38 [x.py:1] y`, `INFO 04-05 18:07:38 [x.py:1] y`},
		{"\x1b[0;36m(APIServer pid=37)\x1b[0;0m INFO 01-07 20:17:18 [x.py:1] y", `(APIServer pid=37) INFO 01-07 20:17:18 [x.py:1] y`},
		// What users wrote.
		{`INFO 01-07 20:17:18 [logger.py:42] Received request cmpl-1-0: prompt: 'my secret', params: SamplingParams(n=1)`, `INFO 01-07 20:17:18 [logger.py:42] Received request cmpl-1-0: <prompt>`},
		{`Generated response chatcmpl-1: output: 'my secret', tokens`, `Generated response chatcmpl-1: <prompt>`},
		{`[2025-01-01 10:00:00] Receive: obj=GenerateReqInput(text='my secret')`, `[2025-01-01 10:00:00] Receive: obj <prompt>`},
		{`bad request {"messages": [{"role": "user"}], "model": "m"}`, `bad request {"messages": <prompt>`},
		{`prompt_token_ids=[1, 2, 3], x`, `prompt_token_ids=<prompt>`},
	} {
		want := c.want
		if want == "" {
			want = c.line
		}
		if got := serving.ScrubLog(c.line); got != want {
			t.Errorf("%s\n got %s\nwant %s", c.line, got, want)
		}
	}
}

func TestScrubber(t *testing.T) {
	var out bytes.Buffer
	s := serving.NewScrubber(&out, "gpu-node-7", "ab", "localhost")
	text := "on gpu-node-7 at /x\nablaut localhost\n\n" + strings.Repeat("y", 100_000) + "\nlast /home"
	for i := range text { // in the smallest pieces
		if n, err := s.Write([]byte{text[i]}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want := "on <private> at <path>\nablaut localhost\n\n" + strings.Repeat("y", 64<<10) + " <cut>\nlast <path>\n"
	if out.String() != want {
		t.Errorf("%.200q", out.String())
	}
}

// TestScrubRealLog: of a real log nothing that counts is lost.
func TestScrubRealLog(t *testing.T) {
	b, err := os.ReadFile("testdata/vllm-0.20.2-tp2.log")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s := serving.NewScrubber(&out)
	s.Write(b)
	s.Close()
	before, after := parseLog(t, string(b)), parseLog(t, out.String())
	if len(after.Iterations) != len(before.Iterations) || len(after.Intervals) != len(before.Intervals) || len(after.Profiling) != len(before.Profiling) ||
		after.KVTokens != before.KVTokens || after.TP != before.TP || after.Version != before.Version || after.Attention != before.Attention {
		t.Errorf("%+v", after)
	}
	if strings.Contains(out.String(), "/traces") || after.TraceDir != "<path>" {
		t.Error("a path is left")
	}
}

// FuzzScrubLog: what is scrubbed stays so, and no key gets through.
func FuzzScrubLog(f *testing.F) {
	f.Add("a=1 --api-key x /b 10.0.0.1")
	f.Add(`'api_key': ['`)
	f.Fuzz(func(t *testing.T, s string) {
		got := serving.ScrubLog(s)
		if !utf8.ValidString(got) {
			t.Errorf("%q is no text", got)
		}
		if line := serving.ScrubLog("x " + strings.ReplaceAll(s, "\x1b", "") + " api_key=canary0815"); strings.Contains(line, "api_key=canary0815") {
			t.Errorf("%q", line)
		}
	})
}
