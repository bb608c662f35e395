// What the documentation types into mongosh, as commands: reads a script, prints [[database, command], …] as JSON.
import {readFileSync} from "node:fs";
import vm from "node:vm";

const commands = [];

function database(name) {
  const tell = command => { commands.push([name, command]); };
  const known = {
    getSiblingDB: database,
    runCommand: tell,
    createCollection: (collection, options) => tell({create: collection, ...options}),
    createUser: ({user, ...rest}) => tell({createUser: user, ...rest}),
    grantRolesToUser: (user, roles) => tell({grantRolesToUser: user, roles}),
  };
  return new Proxy(known, {
    get: (methods, word) => methods[word] ?? {
      insertOne: document => tell({insert: word, documents: [document]}),
      updateOne: (q, u) => tell({update: word, updates: [{q, u}]}),
    },
  });
}

const context = {db: database("test"), use: name => { context.db = database(name); }};
vm.runInNewContext(readFileSync(0, "utf8"), context);
console.log(JSON.stringify(commands));
