// Database drivers of Go in a static program: its own resolver, system calls without libc, pools that dial at once.
//
//	drivers pgx HOST PORT            one connection
//	drivers pool HOST PORT COUNT     pgxpool, COUNT queries at once on as many connections
//	drivers sql HOST PORT COUNT      database/sql, the same
//	drivers redis HOST PORT COUNT    go-redis, COUNT blocking commands at once
//	drivers resolve HOST tcp|udp SERVER   the addresses of a name, by net.Resolver with a dialer of its own
//
// Each prints what the server answered.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"
)

const question = "select 6 * 7 from (select pg_sleep(0.2)) as pause"

// run asks COUNT times at once and prints how many times each answer came.
func run(count int, ask func() (string, error)) error {
	var group sync.WaitGroup
	var lock sync.Mutex
	answers := map[string]int{}
	for range count {
		group.Go(func() {
			answer, err := ask()
			if err != nil {
				answer = err.Error()
			}
			lock.Lock()
			defer lock.Unlock()
			answers[answer]++
		})
	}
	group.Wait()
	for answer, times := range answers {
		fmt.Println(times, answer)
	}
	return nil
}

func one(url string) error {
	background := context.Background()
	connection, err := pgx.Connect(background, url)
	if err != nil {
		return err
	}
	defer connection.Close(background)
	var answer int
	if err := connection.QueryRow(background, "select 6 * 7").Scan(&answer); err != nil {
		return err
	}
	fmt.Println(answer)
	return nil
}

func pool(url string, count int) error {
	background := context.Background()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return err
	}
	config.MaxConns = int32(count)
	pool, err := pgxpool.NewWithConfig(background, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	return run(count, func() (answer string, err error) {
		err = pool.QueryRow(background, question).Scan(&answer)
		return
	})
}

func standard(url string, count int) error {
	database, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	defer database.Close()
	database.SetMaxOpenConns(count)
	return run(count, func() (answer string, err error) {
		err = database.QueryRow(question).Scan(&answer)
		return
	})
}

func inMemory(address string, count int) error {
	client := redis.NewClient(&redis.Options{Addr: address, PoolSize: count})
	defer client.Close()
	background := context.Background()
	return run(count, func() (string, error) {
		err := client.BLPop(background, 200*time.Millisecond, "nobody-pushes-here").Err()
		if err != redis.Nil {
			return "", err
		}
		return client.Echo(background, "42").Result()
	})
}

func resolve(host, network, server string) error {
	resolver := net.Resolver{PreferGo: true, Dial: func(limit context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(limit, network, server)
	}}
	addresses, err := resolver.LookupNetIP(context.Background(), "ip4", host)
	if err == nil {
		fmt.Println(addresses)
	}
	return err
}

func main() {
	verb, host, port := os.Args[1], os.Args[2], os.Args[3]
	count := 1
	if len(os.Args) > 4 {
		count, _ = strconv.Atoi(os.Args[4])
	}
	url := fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", net.JoinHostPort(host, port))
	var err error
	switch verb {
	case "pgx":
		err = one(url)
	case "pool":
		err = pool(url, count)
	case "sql":
		err = standard(url, count)
	case "redis":
		err = inMemory(net.JoinHostPort(host, port), count)
	case "resolve":
		err = resolve(host, port, os.Args[4])
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}
