// One check of one official client against a node: `node sdk.mjs SDK CHECK URL MODEL`.
// Prints one line of JSON, or `left` when it was told to leave, and stays for a while after that.

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const [sdk, check, url, model] = process.argv.slice(2);
const messages = [{ role: "user", content: "one two three" }];
const long = [{ role: "user", content: "one two three four five six seven eight nine ten" }];
const schema = { type: "object", properties: { q: { type: "string" } }, required: ["q"] };
const names = ["f", "g"];

const openai = () => {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "unused", maxRetries: 0 });
  const ask = (body, options) => client.chat.completions.create({ model, ...body }, options);
  const tools = names.map((name) => ({ type: "function", function: { name, parameters: schema } }));
  return {
    ask,
    chat: async () => (await ask({ messages })).choices[0].message.content,
    text: (chunk) => chunk.choices[0]?.delta?.content ?? "",
    tools: async () =>
      (await ask({ messages, tools })).choices[0].message.tool_calls.map((call) => ({
        name: call.function.name,
        q: JSON.parse(call.function.arguments).q,
      })),
  };
};

const anthropic = () => {
  const client = new Anthropic({ baseURL: url, apiKey: "unused", maxRetries: 0 });
  const ask = (body, options) => client.messages.create({ model, max_tokens: 99, ...body }, options);
  const tools = names.map((name) => ({ name, input_schema: schema }));
  return {
    ask,
    chat: async () => (await ask({ messages })).content[0].text,
    text: (event) => (event.delta?.type === "text_delta" ? event.delta.text : ""),
    tools: async () =>
      (await ask({ messages, tools })).content
        .filter((block) => block.type === "tool_use")
        .map((block) => ({ name: block.name, q: block.input.q })),
  };
};

const client = { openai, anthropic }[sdk]();

async function leave() {
  const leaving = new AbortController();
  const stream = check !== "whole";
  const asked = client.ask({ messages: long, stream }, { signal: leaving.signal });
  asked.catch(() => {});
  if (check === "middle") {
    for await (const piece of await asked) {
      if (client.text(piece)) break;
    }
  } else {
    await new Promise((done) => setTimeout(done, 500));
  }
  leaving.abort();
  console.log("left");
  await new Promise((done) => setTimeout(done, 2000));
}

async function run() {
  switch (check) {
    case "chat":
      return { text: await client.chat() };
    case "stream": {
      let text = "";
      for await (const piece of await client.ask({ messages, stream: true })) text += client.text(piece);
      return { text };
    }
    case "tools":
      return { calls: await client.tools() };
    case "error":
      return client.chat().then(
        (text) => ({ text }),
        (error) => ({ status: error.status }),
      );
    default:
      await leave();
      process.exit(0);
  }
}

console.log(JSON.stringify(await run()));
