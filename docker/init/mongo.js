// Run once by the image's entrypoint, when the data folder is new.
db.getSiblingDB("admin").createUser({
  user: "livetail",
  pwd: process.env.LIVETAIL_PASSWORD,
  roles: [{ role: "read", db: "app" }, { role: "dbAdmin", db: "app" }, { role: "clusterMonitor", db: "admin" }],
});
db.getSiblingDB("app").todos.insertOne({ title: "Water the plants", done: false });
