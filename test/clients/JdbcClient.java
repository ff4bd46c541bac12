// A Java application that knows nothing of encryption.  Argument: the JDBC URL.
// Prints TAP lines without a plan.
import java.math.BigDecimal;
import java.sql.*;
import java.time.*;
import java.util.*;

public class JdbcClient
{
	static void ok(boolean condition, String name)
	{
		System.out.println((condition ? "ok" : "not ok") + " - JDBC: " + name);
	}

	public static void main(String[] args) throws Exception
	{
		UUID uuid = UUID.fromString("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
		try (Connection con = DriverManager.getConnection(args[0]))
		{
			try (PreparedStatement p = con.prepareStatement("INSERT INTO client (id, a, b, c, d, e, f, g, h, i, j) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"))
			{
				p.setInt(1, 1);
				p.setString(2, "Élodie");
				p.setBytes(3, new byte[] {0, -1});
				p.setBoolean(4, true);
				p.setInt(5, -5);
				p.setLong(6, 9000000000000000L);
				p.setObject(7, LocalDate.of(1999, 12, 31));
				p.setObject(8, OffsetDateTime.of(2020, 1, 1, 10, 0, 0, 0, ZoneOffset.UTC));
				p.setObject(9, uuid);
				p.setBigDecimal(10, new BigDecimal("1.50"));
				p.setDouble(11, 3.25);
				p.executeUpdate();
			}
			try (PreparedStatement p = con.prepareStatement("SELECT * FROM client WHERE a = ? AND d = ? AND e = ? AND i = ? AND f = ? AND h = ?"))
			{
				// past the fifth time the driver uses a named statement and binary transfer
				for (int round = 0; round < 8; round++)
				{
					p.setString(1, "Élodie");
					p.setInt(2, -5);
					p.setLong(3, 9000000000000000L);
					p.setBigDecimal(4, new BigDecimal("1.5"));
					p.setObject(5, LocalDate.of(1999, 12, 31));
					p.setObject(6, uuid);
					try (ResultSet r = p.executeQuery())
					{
						boolean found = r.next();
						if (round != 0 && round != 7)
							continue;
						ok(found, "WHERE with typed parameters, round " + round);
						ok(r.getString("a").equals("Élodie") && r.getInt("d") == -5 && r.getLong("e") == 9000000000000000L && r.getBoolean("c"), "text, integers, bool");
						ok(r.getObject("f", LocalDate.class).equals(LocalDate.of(1999, 12, 31)) && r.getObject("h").equals(uuid), "date, uuid");
						ok(r.getBigDecimal("i").equals(new BigDecimal("1.50")) && r.getDouble("j") == 3.25 && r.getBytes("b").length == 2, "numeric, float8, bytea");
						ok(r.getTimestamp("g").toInstant().equals(Instant.parse("2020-01-01T10:00:00Z")) && r.getObject("l") == null, "timestamptz, NULL");
						ok(r.getMetaData().getColumnTypeName(r.findColumn("d")).equals("int4"), "the metadata say int4");
					}
				}
			}
			try (PreparedStatement p = con.prepareStatement("UPDATE client SET a = ? WHERE d = ? RETURNING a"))
			{
				p.setString(1, "Zoé");
				p.setLong(2, -5);
				try (ResultSet r = p.executeQuery())
				{
					ok(r.next() && r.getString(1).equals("Zoé"), "UPDATE ... RETURNING, a long for an int4");
				}
			}
			try (PreparedStatement p = con.prepareStatement("INSERT INTO client (id, a) VALUES (?, ?)"))
			{
				for (int i = 0; i < 50; i++)
				{
					p.setInt(1, 100 + i);
					p.setString(2, "batch" + i);
					p.addBatch();
				}
				p.executeBatch();
			}
			try (Statement s = con.createStatement(); ResultSet r = s.executeQuery("SELECT count(*), min(a) FROM client WHERE id >= 100"))
			{
				ok(r.next() && r.getInt(1) == 50 && r.getString(2).equals("batch0"), "a batch");
			}
			try (Statement s = con.createStatement())
			{
				s.executeUpdate("DELETE FROM client");
			}
		}
	}
}
