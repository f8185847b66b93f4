# postgres.rb PORT COUNT: COUNT threads, each with a connection; prints how many distinct backends answered.
# pg's connect waits in Ruby, not in libpq, so that other threads run meanwhile.
require "pg"

port, count = ARGV.map(&:to_i)
threads = Array.new(count) do
  Thread.new { PG.connect(host: "127.0.0.1", port: port, user: "postgres", dbname: "postgres", sslmode: "disable") }
end
connections = threads.map(&:value)
puts connections.map { |one| one.exec("select pg_backend_pid()").getvalue(0, 0) }.uniq.size
